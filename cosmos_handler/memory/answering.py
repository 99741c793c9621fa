"""The stage in which a reasoner reads a conversation, looks at its media, and answers token by token."""

import math
from dataclasses import dataclass

from cosmos_handler.artifacts.checkpoint import Checkpoint, Part
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.memory.shapes.language import Language
from cosmos_handler.memory.shapes.vision import Vision
from cosmos_handler.memory.sheet import StageSheet
from cosmos_handler.messages.tasks import Answer
from cosmos_handler.messages.tasks import Vision as Look

# English has about four letters a token, JSON about three; other scripts have fewer.
_BYTES_PER_TOKEN = 2.5
_SMALL_VOCABULARY = 8192  # with fewer tokens than that, words are spelt out
# The marks around a turn, a picture, and the times of a video's frames.
_TOKENS_A_TURN, _TOKENS_A_MEDIUM, _TOKENS_A_FRAME = 16, 8, 12
# What the processors allow unless a request says something else: pixels of a picture, and of all frames of a clip.
_MOST_PICTURE_PIXELS = 16_777_216
_MOST_CLIP_PIXELS = 25_165_824


@dataclass(frozen=True)
class _Load:
    """What a conversation brings: tokens of words, and of media; how many pictures or pairs of frames they are."""

    words: int
    seen: int
    pictures: int

    @property
    def tokens(self) -> int:
        return self.words + self.seen


def answering_stage(name: str, task: Answer, checkpoint: Checkpoint, *, prompt_tokens: int | None = None) -> StageSheet:
    """One answer. prompt_tokens: with its media, where that is known; else reckoned, rather too high."""
    reader, eyes, parts = reasoner_parts(checkpoint)
    load = _load(task, reader, eyes)
    if prompt_tokens is not None:
        load = _Load(max(1, prompt_tokens - load.seen), min(load.seen, prompt_tokens), load.pictures)
    new_tokens = task.default_max_tokens if task.max_tokens is None else task.max_tokens
    if checkpoint.context_tokens is not None:
        new_tokens = max(1, min(new_tokens, checkpoint.context_tokens - load.tokens))
    working = reader.speak_bytes(load.tokens + new_tokens)
    reading = reader.read_bytes(load.tokens)
    work = reader.read_work(load.tokens) + reader.speak_work(load.tokens, new_tokens)
    if eyes is not None and load.seen:
        pixels = eyes.pixels_bytes(load.seen)
        working = max(working + pixels, eyes.look_bytes(load.seen) + load.tokens * reader.width * reader.value_bytes)
        reading += pixels + eyes.seen_bytes(load.seen)
        work += eyes.look_work(load.seen, load.pictures)
    keys = tuple(f"{checkpoint.name}/{part.name}" for part in parts)
    return StageSheet(name, keys, max(working, reading), work, num_forwards=1 + new_tokens)


def reasoner_parts(checkpoint: Checkpoint) -> tuple[Language, Vision | None, tuple[Part, ...]]:
    """What reads, what looks, and the parts that hold them."""
    parts = {part.name: part for part in checkpoint.parts}
    if "model" in parts:
        model = parts["model"]
        eyes = Vision.from_config(model.config, model.dtype) if "vision_config" in model.config else None
        return Language.from_config(model.config, model.dtype), eyes, (model,)
    tower, eye = parts["transformer"], parts["vision_encoder"]
    return (
        Language.from_config(tower.config, tower.dtype),
        Vision.from_config(eye.config, eye.dtype),
        (tower, eye),
    )


def text_tokens(text: str | None, vocabulary: int) -> int:
    """Tokens of a text, rather too many. vocabulary: how many different ones the model has."""
    per_token = _BYTES_PER_TOKEN if vocabulary >= _SMALL_VOCABULARY else 1.0
    return math.ceil(len((text or "").encode()) / per_token)


def _load(task: Answer, reader: Language, eyes: Vision | None) -> _Load:
    words = seen = pictures = 0
    for turn in task.turns:
        words += _TOKENS_A_TURN
        for piece in turn.pieces:
            words += text_tokens(piece.text, reader.vocabulary)
            if piece.media is not None and eyes is not None:
                frames = math.ceil(piece.media.num_frames / eyes.temporal_patch)
                seen += frames * _tokens_of_frame(piece.media, task.vision, eyes)
                words += _TOKENS_A_MEDIUM + (_TOKENS_A_FRAME * frames if piece.media.kind == "video" else 0)
                pictures += frames
    return _Load(max(1, words), seen, pictures)


def _tokens_of_frame(medium: MediaFile, look: Look, eyes: Vision) -> int:
    """Of one picture, or of two frames that are merged."""
    factor = eyes.patch * eyes.merge
    height, width = float(medium.height), float(medium.width)
    if look.resized_height is not None and look.resized_width is not None:
        height, width = look.resized_height, look.resized_width
    else:
        scale = math.sqrt(_pixels_of_frame(medium, look, height * width) / (height * width))
        height, width = height * scale, width * scale
    return math.ceil(height / factor) * math.ceil(width / factor)


def _pixels_of_frame(medium: MediaFile, look: Look, pixels: float) -> float:
    """By the same bounds as the processors', though none of them is read here."""
    frames = medium.num_frames if medium.kind == "video" else 1
    most = look.max_pixels or look.longest_edge or (_MOST_PICTURE_PIXELS if frames == 1 else _MOST_CLIP_PIXELS / frames)
    if look.total_pixels is not None and medium.kind == "video":
        most = min(most, 2 * look.total_pixels / frames)
    least = look.min_pixels or look.shortest_edge or 0
    return max(min(pixels, most), least, 1)
