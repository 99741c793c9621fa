"""What is known of a checkpoint before any of its weights are read; plain values that cross the pipe."""

from dataclasses import dataclass
from typing import Literal

Family = Literal["predict2.5", "transfer2.5", "cosmos3", "reason1", "reason2"]


@dataclass(frozen=True)
class Part:
    """One set of weights, under NVIDIA's name for it.

    name: "text_encoder", "transformer" and "tokenizer" (a generator's VAE), or "model" (a reasoner).
    folder: relative to the checkpoint, "." for the checkpoint itself.
    files: the weight files, relative to the checkpoint.
    size_bytes: tensor data alone, as it is stored.
    dtype: torch's name of the type in which most of those bytes are stored.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    size_bytes: int
    dtype: str


@dataclass(frozen=True)
class GenerationLimits:
    """The largest video a generator's position table was made for.

    temporal_factor: frame counts are temporal_factor * k + 1.
    size_multiple: width and height in pixels are multiples of it.
    """

    max_frames: int
    max_height: int
    max_width: int
    temporal_factor: int
    size_multiple: int


@dataclass(frozen=True)
class Checkpoint:
    """One complete model on disk.

    path: absolute.
    tasks: ("text2world", "image2world", "video2world") or ("reasoner",).
    revision: the hub's commit where that is known, else "files-" and 12 hexadecimal digits over the files.
    context_tokens: how many tokens a reasoner can hold.
    """

    name: str
    aliases: tuple[str, ...]
    path: str
    family: Family
    tasks: tuple[str, ...]
    revision: str
    parts: tuple[Part, ...]
    generation: GenerationLimits | None
    context_tokens: int | None
