"""Which frames of an input a job needs."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class WantedImage:
    """A still image."""

    kind: Literal["image"] = "image"


@dataclass(frozen=True)
class LastFrames:
    """The last `count` frames of a video that has at least so many."""

    count: int
    kind: Literal["last_frames"] = "last_frames"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count is {self.count}, less than 1")

    @property
    def min_source_frames(self) -> int:
        """The shortest video that will do."""
        return self.count

    def indices(self, total: int, source_fps: float) -> tuple[int, ...]:
        """Ascending positions in a video of `total` frames."""
        return tuple(range(total - self.count, total))


@dataclass(frozen=True)
class SampledFrames:
    """Frames spread evenly over a video, about `fps` of them per second.

    They are the ones that transformers' Qwen3VLVideoProcessor.sample_frames picks, so that a reasoner sees what it
    would have seen there.
    """

    fps: float
    min_frames: int = 4
    max_frames: int = 768
    kind: Literal["sampled_frames"] = "sampled_frames"

    def __post_init__(self) -> None:
        if not (isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps is {self.fps}, not a positive number")
        if not 1 <= self.min_frames <= self.max_frames:
            raise ValueError(f"min_frames is {self.min_frames} and max_frames {self.max_frames}, not 1 <= min <= max")

    @property
    def min_source_frames(self) -> int:
        """The shortest video that will do."""
        return 1

    def indices(self, total: int, source_fps: float) -> tuple[int, ...]:
        """Ascending positions in a video of `total` frames at `source_fps` per second."""
        count = int(min(total / source_fps * self.fps, self.max_frames))
        count = min(max(count, self.min_frames), self.max_frames, total)
        return tuple(np.linspace(0, total - 1, count).round().astype(int).tolist())


WantedOfVideo = LastFrames | SampledFrames
Wanted = WantedImage | WantedOfVideo
