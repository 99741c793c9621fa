"""The autoregressive Cosmos in stages: prompt and frames to numbers, code after code, and frames out of the codes,
by diffusion or without.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.families.autoregressive.diffusion_decoding import (
    decoded,
    denoise_tokens,
    generic_text,
    window_begins,
)
from cosmos_handler.families.autoregressive.frames import context_pixels, shown_frames
from cosmos_handler.families.autoregressive.generation import Request, generate
from cosmos_handler.families.autoregressive.sampling import Sampling
from cosmos_handler.families.autoregressive.text import prompt_embedding
from cosmos_handler.families.base import Context, Frames
from cosmos_handler.families.embeddings import TextCache, TextKey
from cosmos_handler.families.lean import make_lean
from cosmos_handler.families.together import SharingFamily, Together
from cosmos_handler.memory.autoregressive import SHARED_STAGE
from cosmos_handler.memory.chunks import code_frames, codes_of_chunks
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.messages.tasks import Continue

_HERE = "cosmos_handler.families.autoregressive"


class Autoregressive(SharingFamily):
    """image2world and video2world, with a prompt or without, as the checkpoint has it."""

    PART_CLASSES: ClassVar[Mapping[str, PartClass]] = {
        "text_encoder": PartClass("transformers", "T5EncoderModel"),
        "ar_model": PartClass(f"{_HERE}.network", "CosmosAutoregressive"),
        "tokenizer": PartClass(f"{_HERE}.tokenizer", "VideoTokenizer"),
        "diffusion_decoder": PartClass(f"{_HERE}.diffusion_decoder", "DiffusionDecoder"),
        "decoder_tokenizer": PartClass("diffusers", "AutoencoderKLCosmos"),
    }

    def __init__(self, checkpoint: Checkpoint, parts: PlacedParts) -> None:
        self._model = checkpoint.name
        names = {part.name for part in checkpoint.parts}
        self._words: Any = None
        if "text_encoder" in names:
            self._words = AutoTokenizer.from_pretrained(
                checkpoint.folder_of("text_tokenizer"), local_files_only=True, trust_remote_code=False
            )
        self._generic_text: torch.Tensor | None = None
        if "diffusion_decoder" in names:
            make_lean(parts["diffusion_decoder"])
            if self._words is None:
                self._generic_text = generic_text(Path(checkpoint.places["aux_vars"]))

    @torch.no_grad()
    def steps(self, task: Continue, context: Context) -> Generator["Wanted", torch.Tensor, Frames]:
        """The video of a task: uint8 frames, as many as its chunks make, those that were given at their beginning.

        Stops for the codes of every chunk, int64 [1, T, H, W].
        """
        if task.media is None:
            raise ValueError("there is nothing to go on from: this is a bug")
        text = self._embedding(task, context)
        fresh = task.num_frames - task.chunk_overlap  # what every chunk but the first adds
        whole = np.empty((task.num_frames + (task.num_chunks - 1) * fresh, task.height, task.width, 3), dtype=np.uint8)
        given = np.array(task.media.frames()[-task.num_input_frames :])
        for number in range(task.num_chunks):
            chunk = whole[number * fresh :][: task.num_frames]
            shown = chunk[: task.chunk_overlap].copy() if number else chunk[:0]
            codes = yield Wanted(task, number, _begin(given, text, task, context, number))
            if task.decoder == "tokenizer":
                chunk[:] = _decoded(codes, context)
            else:
                chunk[:] = _diffused(codes, self._decoder_text(text), task, context, number)
            given = chunk[-task.chunk_overlap :].copy()
            chunk[: len(shown)] = shown  # as the chunk before has them
        return Frames(whole, num_output_frames=task.num_output_frames, fps=task.fps)

    @torch.no_grad()
    def make(self, wanted: Sequence["Wanted"], together: Together) -> Sequence[torch.Tensor]:
        """The codes of one chunk of each, those that were given included. All are of one size and of one chunk."""
        first = wanted[0]
        before, num_steps = first.steps_before, first.num_steps
        with together.stage(SHARED_STAGE, ("ar_model",), num_steps=num_steps, from_step=before) as parts:
            model: Any = parts["ar_model"]
            codes = generate(
                model,
                [each.request for each in wanted],
                on_step=lambda step, _: together.step(before + step, num_steps),
                latent_frames=code_frames(first.task.num_frames),
            )
        return [codes[row : row + 1] for row in range(len(wanted))]

    def _embedding(self, task: Continue, context: Context) -> torch.Tensor | None:
        """Of the prompt, [512, C]; None for a model that reads none. It is the same in every chunk."""
        if self._words is None:
            return None
        cache = TextCache(0) if context.text_cache is None else context.text_cache
        key = TextKey(self._model, "prompt", task.prompt)
        kept = cache.get(key, context.parts.device)
        if kept is None:
            with context.stage("encode_text", ("text_encoder",)) as parts:
                kept = prompt_embedding(parts["text_encoder"], self._words, task.prompt, context.parts.device)
            cache.put(key, kept)
        return kept

    def _decoder_text(self, text: torch.Tensor | None) -> torch.Tensor:
        """What the diffusion decoder reads, [1, M, C]: the prompt, or one that suits every video."""
        if text is not None:
            return text[None]
        if self._generic_text is None:
            raise ValueError("the diffusion decoder has no text to read: this is a bug")
        return self._generic_text


@dataclass(frozen=True)
class Wanted:
    """The codes of one chunk of a task's video."""

    task: Continue
    number: int
    request: Request

    @property
    def steps_before(self) -> int:
        """How many codes were made in the chunks before."""
        return sum(codes_of_chunks(self.task)[: self.number])

    @property
    def num_steps(self) -> int:
        """How many are made in all chunks."""
        return sum(codes_of_chunks(self.task))


def _begin(
    given: NDArray[np.uint8], text: torch.Tensor | None, task: Continue, context: Context, number: int
) -> Request:
    """A chunk that goes on from some frames, as their codes."""
    with context.stage("encode_media", ("tokenizer",)) as parts:
        tokenizer: Any = parts["tokenizer"]
        pixels = context_pixels(given, len(given), height=task.height, width=task.width)
        pixels = pixels.to(context.parts.device, tokenizer.dtype).contiguous()  # without what was cut off
        (begin,) = tokenizer.encode(pixels)
    # Each chunk has a seed of its own, else all would go on alike.
    return Request(begin, Sampling(task.temperature, task.top_p, task.seed + number), text)


def _decoded(codes: torch.Tensor, context: Context) -> NDArray[np.uint8]:
    """The frames [F, H, W, 3] of codes [1, T, h, w]."""
    with context.stage("decode", ("tokenizer",)) as parts:
        tokenizer: Any = parts["tokenizer"]
        return shown_frames(tokenizer.decode(codes))


def _diffused(
    codes: torch.Tensor, text: torch.Tensor, task: Continue, context: Context, number: int
) -> NDArray[np.uint8]:
    """The same by diffusion. number: of the chunk, which has a seed of its own here as well."""
    steps = task.num_steps * len(window_begins(codes.shape[1]))
    before, num_steps = number * steps, task.num_chunks * steps
    with context.stage("diffusion_decode", ("diffusion_decoder",), num_steps=num_steps, from_step=before) as parts:
        network: Any = parts["diffusion_decoder"]
        latents = denoise_tokens(
            network,
            codes,
            text,
            num_steps=task.num_steps,
            guidance=task.guidance,
            seed=task.seed + number,
            on_step=lambda step, _: context.step(before + step, num_steps),
        )
    with context.stage("decode", ("decoder_tokenizer",)) as parts:
        tokenizer: Any = parts["decoder_tokenizer"]
        return shown_frames(decoded(tokenizer, latents))
