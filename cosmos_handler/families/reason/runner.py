"""Reason 2 over transformers' own model: chat template, vision, generate, think tags split off."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from PIL import Image
from transformers import AutoProcessor
from transformers.video_utils import VideoMetadata

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.errors import InvalidField, MediaError
from cosmos_handler.families.base import Context, Family, Words
from cosmos_handler.families.reason.thinking import ThinkSplitter, split
from cosmos_handler.families.reason.words import WordStreamer
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.messages.tasks import Answer, Piece

# NVIDIA's configs/inference_config.yaml for Reason 2.
_DEFAULT_MAX_TOKENS = 4096


class Reason2(Family):
    """Answers about text, images and videos."""

    PART_CLASSES: ClassVar[Mapping[str, PartClass]] = {
        "model": PartClass("transformers", "Qwen3VLForConditionalGeneration"),
    }

    def __init__(self, checkpoint: Checkpoint, parts: PlacedParts) -> None:
        self._processor = AutoProcessor.from_pretrained(checkpoint.path, local_files_only=True)
        self._context_tokens = checkpoint.context_tokens
        tokenizer = self._processor.tokenizer
        added = (str(token) for token in tokenizer.added_tokens_decoder.values())
        self._control_tokens = frozenset(token for token in added if token.startswith("<|"))

    @torch.no_grad()
    def run(self, task: Answer, context: Context) -> Words:
        """The answer to a conversation."""
        with context.stage("prepare"):
            text, inputs = self._inputs(task)
            prompt_tokens = int(inputs["input_ids"].shape[1])
            max_tokens = self._max_tokens(task, prompt_tokens)
        with context.stage("generate", ("model",), num_steps=max_tokens) as parts:
            return self._generate(task, context, parts["model"], inputs.to(context.parts.device), text, max_tokens)

    def _inputs(self, task: Answer) -> tuple[str, Any]:
        """The prompt as text, and everything that the model takes."""
        pieces = [piece for turn in task.turns for piece in turn.pieces]
        for piece in pieces:
            self._refuse_control_tokens(piece)
        conversation = [
            {"role": turn.role, "content": [_content(piece) for piece in turn.pieces]} for turn in task.turns
        ]
        text = self._processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        media = [(piece.field, piece.media) for piece in pieces if piece.media is not None]
        images = [Image.fromarray(medium.frames()[0]) for _, medium in media if medium.kind == "image"]
        videos = [medium for _, medium in media if medium.kind == "video"]
        options: dict[str, Any] = {}
        if images:
            options["images"] = images
        if videos:
            options["videos"] = [torch.from_numpy(video.frames().copy()).permute(0, 3, 1, 2) for video in videos]
            options["video_metadata"] = [_metadata(video) for video in videos]
            options["do_sample_frames"] = False  # done when the clip was decoded
        try:
            return text, self._processor(text=[text], return_tensors="pt", **options)
        except ValueError as error:  # the processor's own limits: aspect ratio, fewest frames
            if not media:
                raise
            raise MediaError(media[0][0], f"does not suit the model: {error}") from error

    def _refuse_control_tokens(self, piece: Piece) -> None:
        if piece.text is None:
            return
        for token in self._control_tokens:
            if token in piece.text:
                raise InvalidField(piece.field, f"contains the model's control token {token}")

    def _max_tokens(self, task: Answer, prompt_tokens: int) -> int:
        if self._context_tokens is None:
            return task.max_tokens or _DEFAULT_MAX_TOKENS
        room = self._context_tokens - prompt_tokens
        if room < 1:
            raise InvalidField(
                "prompt", f"has {prompt_tokens} tokens with its media", allowed=f"up to {self._context_tokens - 1}"
            )
        if task.max_tokens is None:
            return min(_DEFAULT_MAX_TOKENS, room)
        if task.max_tokens > room:
            raise InvalidField(
                "max_tokens", f"is {task.max_tokens} after a prompt of {prompt_tokens}", allowed=f"1 to {room}"
            )
        return task.max_tokens

    def _generate(self, task: Answer, context: Context, model: Any, inputs: Any, text: str, max_tokens: int) -> Words:
        tokenizer = self._processor.tokenizer
        open_already = text.rstrip().endswith("<think>")
        splitter = ThinkSplitter(open_already=open_already)

        def say(words: str) -> None:
            for piece, reasoning in splitter.feed(words):
                context.on_words(piece, reasoning)

        streamer = WordStreamer(tokenizer, on_text=say, on_token=lambda count: context.step(count, max_tokens))
        torch.manual_seed(task.seed)
        sequence = model.generate(**inputs, **_sampling(task), max_new_tokens=max_tokens, streamer=streamer)[0]
        for piece, reasoning in splitter.finish():
            context.on_words(piece, reasoning)
        prompt_tokens = int(inputs["input_ids"].shape[1])
        made = sequence[prompt_tokens:].tolist()
        whole = tokenizer.decode(made, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        reasoning_text, answer = split(whole, open_already=open_already)
        stopped = bool(made) and made[-1] in _end_tokens(model)
        return Words(answer, reasoning_text, "stop" if stopped else "length", prompt_tokens, len(made))


def _content(piece: Piece) -> dict[str, str]:
    if piece.media is not None:
        return {"type": piece.media.kind}
    return {"type": "text", "text": piece.text or ""}


def _metadata(video: MediaFile) -> VideoMetadata:
    """What the processor computes the time stamps in the prompt from."""
    return VideoMetadata(
        total_num_frames=video.source_num_frames,
        fps=video.source_fps,
        width=video.width,
        height=video.height,
        frames_indices=list(video.indices),
    )


def _sampling(task: Answer) -> dict[str, Any]:
    """generate()'s arguments; what is left out comes from the checkpoint's generation_config.json."""
    if task.do_sample is False:
        # Named, because generate() warns where the checkpoint's own sampling values stand beside greedy search.
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None} | _given(
            task, "repetition_penalty"
        )
    return _given(task, "do_sample", "temperature", "top_p", "top_k", "repetition_penalty")


def _given(task: Answer, *names: str) -> dict[str, Any]:
    return {name: getattr(task, name) for name in names if getattr(task, name) is not None}


def _end_tokens(model: Any) -> set[int]:
    end = model.generation_config.eos_token_id
    return set(end) if isinstance(end, list) else {end}
