"""The stages of the autoregressive models of Cosmos 1.0: a video code by code, decoded by diffusion or without."""

import math
from collections import Counter
from collections.abc import Sequence

from cosmos_handler.artifacts.checkpoint import Checkpoint, Part
from cosmos_handler.artifacts.native.continuous_tokenizer import WINDOW_FRAMES
from cosmos_handler.memory.chunks import code_frames
from cosmos_handler.memory.making import TEXT_TOKENS
from cosmos_handler.memory.shapes.autoregressive import Autoregressive
from cosmos_handler.memory.shapes.cosmos_vae import CosmosVae
from cosmos_handler.memory.shapes.dit import Dit
from cosmos_handler.memory.shapes.t5 import T5
from cosmos_handler.memory.shapes.values import FLOAT_BYTES, INDEX_BYTES
from cosmos_handler.memory.sheet import StageSheet, Work
from cosmos_handler.messages.tasks import Continue

# The stage that several tasks are taken through in one batch.
SHARED_STAGE = "generate"
_CODE_PIXELS = 16
_SHARED_FRAMES = 2  # latents that two windows of the diffusion decoder have in common
# Latents in float32 that lie there during a forward of the diffusion decoder: those that are denoised, the network's
# input, both predictions, and what the sampler makes of them.
_LATENTS_IN_STEP = 8


def continuing_stages(task: Continue, checkpoint: Checkpoint, *, batch_size: int = 1) -> tuple[StageSheet, ...]:
    """The stages between the guardrails, in order.

    batch_size: how many such tasks share SHARED_STAGE; the other stages are for one of them.
    """
    run = _Run(task, checkpoint, batch_size)
    read = [run.encode_text(run.parts["text_encoder"])] if "text_encoder" in run.parts else []
    made = [*read, run.encode_media(), run.generate()]
    if task.decoder == "tokenizer":
        return (*made, run.decode())
    return (*made, run.diffusion_decode(), run.decode_latents())


def in_batch(stages: Sequence[StageSheet], task: Continue, checkpoint: Checkpoint, batch_size: int) -> list[StageSheet]:
    """The stages of so many tasks, of which all but the shared one come for each by itself, while the others wait."""
    waiting_bytes = (batch_size - 1) * _Run(task, checkpoint, batch_size).waiting_bytes
    own = [stage if stage.name == SHARED_STAGE else stage.times(batch_size) for stage in stages]
    return [stage.beside(waiting_bytes) for stage in own]


class _Run:
    """One task for one checkpoint, of a batch of such."""

    def __init__(self, task: Continue, checkpoint: Checkpoint, batch_size: int) -> None:
        self._task, self._owner, self._chunks = task, checkpoint.name, task.num_chunks
        self._batch_size = batch_size
        self.parts = {part.name: part for part in checkpoint.parts}
        self._rows, self._columns = task.height // _CODE_PIXELS, task.width // _CODE_PIXELS
        self._frames = code_frames(task.num_frames)
        # How many chunks go on from how many frames: the first one from those of the request.
        self._given = Counter({task.num_input_frames: 1})
        if task.num_chunks > 1:
            self._given[task.chunk_overlap] += task.num_chunks - 1
        codes = self._frames * self._rows * self._columns * INDEX_BYTES
        self.waiting_bytes = self._text_bytes() + codes

    def encode_text(self, part: Part) -> StageSheet:
        reader = T5.from_config(part.config, part.dtype)
        return self._stage("encode_text", part, reader.read_bytes(TEXT_TOKENS), reader.read_work(TEXT_TOKENS))

    def encode_media(self) -> StageSheet:
        part, size = self.parts["tokenizer"], (self._task.height, self._task.width)
        tokenizer, most = CosmosVae.of_codes(part.config, part.dtype), max(self._given)
        working = tokenizer.video_bytes(most, *size) + tokenizer.encode_bytes(most, *size)
        works = (tokenizer.encode_work(frames, *size).times(times) for frames, times in self._given.items())
        return self._stage("encode_media", part, self.waiting_bytes + working, sum(works, Work()), times=self._chunks)

    def generate(self) -> StageSheet:
        part = self.parts["ar_model"]
        model = Autoregressive.from_config(part.config, part.dtype)
        given = [(code_frames(frames), times) for frames, times in self._given.items()]
        size, batch = (self._frames, TEXT_TOKENS), self._batch_size
        most = max(model.generate_bytes(frames, *size, batch_size=batch) for frames, _ in given)
        works = (model.generate_work(frames, *size, batch_size=batch).times(times) for frames, times in given)
        per_frame, others = self._rows * self._columns, batch - 1  # whose given frames are read one by one
        return StageSheet(
            SHARED_STAGE,
            (self._key(part),),
            self.waiting_bytes + most,
            sum(works, Work()),
            num_entries=self._chunks,
            num_forwards=sum(((self._frames - frames) * per_frame + others) * times for frames, times in given),
        )

    def decode(self) -> StageSheet:
        part = self.parts["tokenizer"]
        tokenizer = CosmosVae.of_codes(part.config, part.dtype)
        latents = self._frames, self._rows, self._columns
        working = self.waiting_bytes + tokenizer.decode_bytes(*latents)
        work = tokenizer.decode_work(*latents).times(self._chunks)
        return self._stage("decode", part, working, work, times=self._chunks)

    def diffusion_decode(self) -> StageSheet:
        part, vae = self.parts["diffusion_decoder"], self._latent_vae()
        network = Dit.from_config(part.config, part.dtype)
        latents = WINDOW_FRAMES, self._task.height // vae.spatial_factor, self._task.width // vae.spatial_factor
        tokens = network.tokens(*latents)
        passes = 2 if self._task.guidance else 1
        forwards = self._chunks * self._windows * self._task.num_steps * passes
        kept = _LATENTS_IN_STEP * network.out_channels * math.prod(latents) * FLOAT_BYTES
        kept += 2 * network.context_bytes(TEXT_TOKENS)
        working = self.waiting_bytes + kept + network.forward_bytes(tokens, TEXT_TOKENS, is_lean=True)
        work = network.forward_work(tokens, TEXT_TOKENS).times(forwards)
        return StageSheet("diffusion_decode", (self._key(part),), working, work, self._chunks, forwards)

    def decode_latents(self) -> StageSheet:
        part, vae, task = self.parts["decoder_tokenizer"], self._latent_vae(), self._task
        latents = min(self._frames, WINDOW_FRAMES), task.height // vae.spatial_factor, task.width // vae.spatial_factor
        kept = self._windows * vae.latent_channels * math.prod(latents) * FLOAT_BYTES
        if self._windows > 1:  # whose pixels wait for each other
            kept += 2 * vae.video_bytes(task.num_frames, task.height, task.width)
        working = self.waiting_bytes + kept + vae.decode_bytes(*latents)
        work = vae.decode_work(*latents).times(self._chunks * self._windows)
        return self._stage("decode", part, working, work, times=self._chunks)

    def _latent_vae(self) -> CosmosVae:
        part = self.parts["decoder_tokenizer"]
        return CosmosVae.from_config(part.config, part.dtype)

    @property
    def _windows(self) -> int:
        """How many of the diffusion decoder's windows a chunk takes; a shorter one is filled up to one."""
        return math.ceil(max(self._frames - _SHARED_FRAMES, 1) / (WINDOW_FRAMES - _SHARED_FRAMES))

    def _text_bytes(self) -> int:
        """What T5 made of the prompt, which stays until the end."""
        part = self.parts.get("text_encoder")
        if part is None:
            return 0
        reader = T5.from_config(part.config, part.dtype)
        return TEXT_TOKENS * reader.width * reader.value_bytes

    def _stage(self, name: str, part: Part, working_bytes: int, work: Work, *, times: int = 1) -> StageSheet:
        return StageSheet(name, (self._key(part),), working_bytes, work, num_entries=times, num_forwards=times)

    def _key(self, part: Part) -> str:
        """As PartSheet.key."""
        return f"{self._owner}/{part.name}"
