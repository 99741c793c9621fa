"""What a generation request means where it says nothing: NVIDIA's values for each family and task, in one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from cosmos_handler.artifacts import negative_prompts
from cosmos_handler.artifacts.checkpoint import Family

T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """Pixels."""

    height: int
    width: int


Tier = Mapping[str, Size]  # by aspect ratio, width to height


@dataclass(frozen=True)
class GenerationDefaults:
    """The defaults of one task of one family.

    convention: "conditional" where guidance g means conditional + g (conditional - unconditional), as in NVIDIA's
        code and in diffusers up to 2.5, and g up to 1 means none; "added" where it means the same for every g;
        "usual" where it means unconditional + g (conditional - unconditional).
    shift: the flow shift that the request may change; None where the checkpoint's scheduler fixes it.
    chunk_size, chunk_overlap: frames made at a time and handed on to the next time, where long videos are made so.
    sizes: tier by its name; resolution and aspect_ratio say which of them is the default.
    """

    seed: int
    guidance: float
    convention: Literal["conditional", "added", "usual"]
    num_steps: int
    num_frames: int
    fps: float
    shift: float | None
    negative_prompt: str
    resolution: str
    aspect_ratio: str
    sizes: Mapping[str, Tier]
    chunk_size: int | None = None
    chunk_overlap: int | None = None

    @property
    def size(self) -> Size:
        """The size of a request that names none."""
        return self.sizes[self.resolution][self.aspect_ratio]


def _tier(square: int, four_to_three: tuple[int, int], sixteen_to_nine: tuple[int, int]) -> Tier:
    """A tier from its wide sizes, height first; the tall ones are those turned."""
    (low, long), (lowest, longest) = four_to_three, sixteen_to_nine
    return {
        "1,1": Size(square, square),
        "4,3": Size(low, long),
        "3,4": Size(long, low),
        "16,9": Size(lowest, longest),
        "9,16": Size(longest, lowest),
    }


_256 = _tier(256, (256, 320), (192, 320))
_720 = _tier(960, (704, 960), (704, 1280))

_PREDICT25 = GenerationDefaults(
    seed=0,
    guidance=7.0,
    convention="conditional",
    num_steps=35,
    num_frames=77,
    fps=16.0,
    shift=None,
    negative_prompt=negative_prompts.PREDICT,
    resolution="720",
    aspect_ratio="16,9",
    sizes={"720": _720},
    chunk_size=77,
    chunk_overlap=1,
)

_TRANSFER_SIZES: Mapping[str, Tier] = {
    "256": _256,
    "480": _tier(480, (480, 640), (432, 768)),
    "512": _tier(512, (512, 640), (384, 640)),
    "720": _720,
    "1024": _tier(1024, (1024, 1280), (768, 1280)),
    "1080": _tier(1024, (1056, 1440), (1056, 1920)),
}

# The input gives the rate, the aspect ratio and the number of frames, so those stand here for one chunk of NVIDIA's.
_TRANSFER25 = GenerationDefaults(
    seed=2025,
    guidance=3.0,
    convention="conditional",
    num_steps=35,
    num_frames=93,
    fps=30.0,
    shift=None,
    negative_prompt=negative_prompts.TRANSFER,
    resolution="720",
    aspect_ratio="16,9",
    sizes=_TRANSFER_SIZES,
    chunk_size=93,
    chunk_overlap=1,
)

# The tiers and sizes of NVIDIA's framework; 768 is the largest that Super was trained on, for pictures.
_COSMOS3_SIZES: Mapping[str, Tier] = {
    "256": _256,
    "480": _tier(640, (544, 736), (480, 832)),
    "720": _tier(960, (832, 1104), (720, 1280)),
    "768": _tier(1024, (880, 1184), (768, 1360)),
}

# The framework's defaults/<mode>/sample_args.json.
_COSMOS3_VIDEO = GenerationDefaults(
    seed=0,
    guidance=6.0,
    convention="usual",
    num_steps=35,
    num_frames=189,
    fps=24.0,
    shift=10.0,
    negative_prompt=negative_prompts.COSMOS3,
    resolution="720",
    aspect_ratio="16,9",
    sizes=_COSMOS3_SIZES,
)
_COSMOS3_IMAGE = GenerationDefaults(
    seed=0,
    guidance=4.0,
    convention="usual",
    num_steps=50,
    num_frames=1,
    fps=24.0,
    shift=3.0,
    negative_prompt="",
    resolution="720",
    aspect_ratio="1,1",
    sizes=_COSMOS3_SIZES,
)

# NVIDIA's only size, and the steps and guidance of the diffusion decoder; how tokens are drawn is the model's own
# (`drawing_defaults`).
_AUTOREGRESSIVE = GenerationDefaults(
    seed=0,
    guidance=1.8,
    convention="added",
    num_steps=15,
    num_frames=33,
    fps=25.0,
    shift=None,
    negative_prompt="",
    resolution="640",
    aspect_ratio="8,5",
    sizes={"640": {"8,5": Size(640, 1024)}},
    chunk_size=33,
    chunk_overlap=9,
)

GENERATION: Mapping[tuple[Family, str], GenerationDefaults] = {
    ("predict2.5", "text2world"): _PREDICT25,
    ("predict2.5", "image2world"): _PREDICT25,
    ("predict2.5", "video2world"): _PREDICT25,
    ("transfer2.5", "transfer"): _TRANSFER25,
    ("cosmos3", "text2image"): _COSMOS3_IMAGE,
    ("cosmos3", "text2video"): _COSMOS3_VIDEO,
    ("cosmos3", "image2video"): _COSMOS3_VIDEO,
    ("cosmos3", "video2video"): _COSMOS3_VIDEO,
    ("autoregressive", "image2world"): _AUTOREGRESSIVE,
    ("autoregressive", "video2world"): _AUTOREGRESSIVE,
}


def generation_defaults(family: Family, task: str) -> GenerationDefaults:
    """The row of a task. Raises KeyError for a task that makes no pictures."""
    return GENERATION[family, task]


def usual_guidance(family: Family, guidance: float) -> float:
    """A family's guidance in the convention that most papers and other pipelines use, in which 1 is off."""
    convention = next(row.convention for (named, _), row in GENERATION.items() if named == family)
    if convention == "usual":
        return guidance
    if convention == "added":
        return guidance + 1
    return guidance + 1 if guidance > 1 else 1.0  # at 1 and below the conditional form is switched off


def given(value: T | None, default: T) -> T:
    """What the request says, or else the default; zero is a thing to say."""
    return default if value is None else value
