"""What is known of a checkpoint before any of its weights are read; plain values that cross the pipe."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

Family = Literal["predict2.5", "transfer2.5", "cosmos3", "autoregressive", "reason1", "reason2"]


# What the lists of equal blocks are called in the networks that are large; the outermost of these are what can be
# brought to the device block by block.
BLOCK_SERIES = ("transformer_blocks", "control_blocks", "layers", "blocks", "block", "h")

CONTROL_PART = "control_"  # and NVIDIA's name of the control: what the branches of a transfer model are called


class Located(Protocol):
    """Whatever has its files in a folder, and names them relative to it."""

    @property
    def path(self) -> str:
        """The folder, absolute."""
        ...


@dataclass(frozen=True)
class Native:
    """How a part lies in a file in NVIDIA's own form, and what the library's class is built from.

    wrappers: the keys under which the tensors lie. names: for each tensor, the library's name of it.
    """

    wrappers: tuple[str, ...]
    names: Mapping[str, str]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """One set of weights, under NVIDIA's name for it.

    name: "text_encoder", "transformer" and "tokenizer" (a generator's VAE), "control_edge" and the like (control
        branches), or "model" (a reasoner). A Cosmos 3's "transformer" holds its reasoner as well, which looks through
        the "vision_encoder". An autoregressive model's are "text_encoder" (T5, where it reads prompts), "ar_model",
        "tokenizer" (frames to tokens and back), and where it has them "diffusion_decoder" and "decoder_tokenizer"
        (tokens to latents, and latents to frames).
    folder: relative to the checkpoint, "." for the checkpoint itself; absolute where it lies elsewhere.
    files: the weight files, named likewise.
    size_bytes: tensor data alone, as it is stored.
    dtype: torch's name of the type in which most of those bytes are stored.
    native: None for a part in the library's own form.
    num_blocks, block_bytes, rest_bytes: how many blocks it has in the lists of BLOCK_SERIES, the size of the largest of
        them, and of all that is in none. num_tensors: of all.
    config: its config.json, or what stands for one in NVIDIA's own form.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    size_bytes: int
    dtype: str
    native: Native | None = None
    # These follow from the files, by which parts are compared.
    num_blocks: int = field(default=0, compare=False)
    block_bytes: int = field(default=0, compare=False)
    rest_bytes: int = field(default=0, compare=False)
    num_tensors: int = field(default=0, compare=False)
    config: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Lora:
    """An adapter of the transformer that a request may ask for. file: relative to the checkpoint."""

    name: str
    file: str
    size_bytes: int


@dataclass(frozen=True)
class GenerationLimits:
    """The largest video a generator's position table was made for.

    max_frames: of a whole video, or of one chunk where a family makes long videos chunk by chunk.
    temporal_factor: frame counts are temporal_factor * k + 1.
    size_multiple: width and height in pixels are multiples of it.
    """

    max_frames: int
    max_height: int
    max_width: int
    temporal_factor: int
    size_multiple: int

    def with_max_frames(self, max_frames: int) -> "GenerationLimits":
        """The same for videos of another length."""
        return replace(self, max_frames=max_frames)


@dataclass(frozen=True)
class Checkpoint:
    """One complete model on disk.

    path: absolute.
    tasks: in the words of the family, such as ("text2world", "image2world", "video2world") or ("reasoner",).
    revision: the hub's commit where that is known, else "files-" and 12 hexadecimal digits over the files.
    context_tokens: how many tokens a reasoner can hold.
    places: absolute folders of those components that do not lie under their own name in the checkpoint.
    prompt_upsampler: the name of the reasoner that `cosmos.json` pairs a generator with.
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
    places: Mapping[str, str] = field(default_factory=dict)
    prompt_upsampler: str | None = None
    loras: tuple[Lora, ...] = ()

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls that a transfer model has branches for, in NVIDIA's words."""
        return tuple(part.name.removeprefix(CONTROL_PART) for part in self.parts if part.name.startswith(CONTROL_PART))

    def folder_of(self, component: str) -> Path:
        """Where a component's files are, such as those of the "scheduler"."""
        return Path(self.places.get(component) or Path(self.path, component))
