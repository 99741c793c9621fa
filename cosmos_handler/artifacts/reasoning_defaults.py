"""What a conversation means where the request says nothing: NVIDIA's values for each family, in one table."""

from collections.abc import Mapping
from dataclasses import dataclass

from cosmos_handler.artifacts.checkpoint import Family


@dataclass(frozen=True)
class ReasoningDefaults:
    """How a reasoner draws and looks; None leaves it to the checkpoint's generation_config.json or its processor.

    fps: frames per second taken from a video.
    total_pixels: of all frames of one video, two frames that the model merges counting once.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float = 0.0
    max_tokens: int = 4096
    seed: int = 0
    fps: float = 4.0
    total_pixels: int | None = None


_REASON1 = ReasoningDefaults(temperature=0.01, seed=42, total_pixels=8192 * 28 * 28)
_REASON2 = ReasoningDefaults()
# Family → without and with the reasoning switch.
REASONING: Mapping[Family, tuple[ReasoningDefaults, ReasoningDefaults]] = {
    "reason1": (_REASON1, _REASON1),
    "reason2": (_REASON2, _REASON2),
    "cosmos3": (
        ReasoningDefaults(
            temperature=0.7, top_p=0.8, top_k=20, repetition_penalty=1.0, presence_penalty=1.5, max_tokens=1024
        ),
        ReasoningDefaults(temperature=0.6, top_p=0.95, top_k=20, repetition_penalty=1.0, max_tokens=1024),
    ),
}


def reasoning_defaults(family: Family, *, reasoning: bool) -> ReasoningDefaults:
    """The row of a family. Raises KeyError for one that does not reason."""
    return REASONING[family][reasoning]
