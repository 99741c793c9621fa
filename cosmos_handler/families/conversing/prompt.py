"""From a conversation to what a model takes: control tokens refused, chat template, media, processor."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from transformers.video_utils import VideoMetadata

from cosmos_handler.errors import InvalidField, MediaError
from cosmos_handler.families.conversing.looking import as_seen, has_budget, num_tokens
from cosmos_handler.families.conversing.room import Room
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.messages.tasks import Answer, Piece, Vision


@dataclass(frozen=True)
class Prompt:
    """text: as the chat template made it. inputs: everything that the model takes, on the CPU."""

    text: str
    inputs: Any

    @property
    def num_tokens(self) -> int:
        """The words and the media together."""
        return int(self.inputs["input_ids"].shape[1])

    @property
    def opens_thinking(self) -> bool:
        """Whether the template has already written the opening think tag."""
        return self.text.rstrip().endswith("<think>")


def prepare(processor: Any, task: Answer, room: Room) -> Prompt:
    """The prompt of a conversation. Raises InvalidField and MediaError; for want of room before any pixel is read."""
    pieces = [piece for turn in task.turns for piece in turn.pieces]
    refuse_control_tokens(processor.tokenizer, ((piece.field, piece.text) for piece in pieces))
    conversation = [{"role": turn.role, "content": [_content(piece) for piece in turn.pieces]} for turn in task.turns]
    text = processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    media = [(piece.field, piece.media) for piece in pieces if piece.media is not None]
    try:
        _refuse_crowd([(field, num_tokens(processor, medium, task.vision)) for field, medium in media], room)
        options = _media_options(processor, [each for _, each in media], task.vision)
        return Prompt(text, processor(text=[text], return_tensors="pt", **options))
    except ValueError as error:  # the processor's own limits: aspect ratio, fewest frames
        if not media:
            raise
        raise MediaError(media[0][0], f"does not suit the model: {error}") from error


def refuse_control_tokens(tokenizer: Any, texts: Iterable[tuple[str, str | None]]) -> None:
    """Refuse texts, each behind its field, in which a token would end the turn of a chat template."""
    added = (str(token) for token in tokenizer.added_tokens_decoder.values())
    control_tokens = [token for token in added if token.startswith("<|")]
    for field, text in texts:
        for token in control_tokens:
            if text is not None and token in text:
                raise InvalidField(field, f"contains the model's control token {token}")


def _refuse_crowd(tokens: list[tuple[str, int]], room: Room) -> None:
    """Refuse media that are more than can be held, at the first one that does not fit any more."""
    total = 0
    for field, num in tokens:
        total += num
        if total >= room.tokens:
            problem = f"makes {total} tokens with the media before it ({room})"
            raise InvalidField(field, problem, allowed=f"fewer than {room.tokens}")


def _content(piece: Piece) -> dict[str, str]:
    if piece.media is not None:
        return {"type": piece.media.kind}
    return {"type": "text", "text": piece.text or ""}


def _media_options(processor: Any, media: list[MediaFile], vision: Vision) -> dict[str, Any]:
    images = [medium for medium in media if medium.kind == "image"]
    videos = [medium for medium in media if medium.kind == "video"]
    options: dict[str, Any] = {}
    if videos:
        options["video_metadata"] = [_metadata(video) for video in videos]
        options["do_sample_frames"] = False  # done when the clip was decoded
    seen_images: list[Any]
    if media and has_budget(vision):
        options["do_resize"] = False  # done here, for each medium by itself
        seen_images = [as_seen(processor, image, vision)[0] for image in images]
        seen_videos = [as_seen(processor, video, vision) for video in videos]
    else:
        seen_images = [Image.fromarray(image.frames()[0]) for image in images]
        seen_videos = [torch.from_numpy(video.frames().copy()).permute(0, 3, 1, 2) for video in videos]
    return options | ({"images": seen_images} if images else {}) | ({"videos": seen_videos} if videos else {})


def _metadata(video: MediaFile) -> VideoMetadata:
    """What the processor computes the time stamps in the prompt from."""
    return VideoMetadata(
        total_num_frames=video.stretch_num_frames or video.source_num_frames,
        fps=video.source_fps,
        width=video.width,
        height=video.height,
        frames_indices=list(video.indices),
    )
