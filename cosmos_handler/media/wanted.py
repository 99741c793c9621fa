"""Which frames of an input a job needs."""

from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import Literal

from cosmos_handler.media.refusal import Refusal


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
class FirstFrames:
    """The first `count` frames of a video that has at least so many; all of them where count is None."""

    count: int | None
    kind: Literal["first_frames"] = "first_frames"

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ValueError(f"count is {self.count}, less than 1")

    @property
    def min_source_frames(self) -> int:
        """The shortest video that will do."""
        return self.count or 1

    def indices(self, total: int, source_fps: float) -> tuple[int, ...]:
        """Ascending positions in a video of `total` frames."""
        return tuple(range(self.count or total))


@dataclass(frozen=True)
class SampledFrames:
    """Frames spread evenly over a video, about `fps` of them per second.

    They are the ones that transformers' video processors pick, so that a reasoner sees what it would have seen there.
    rule: "both_ends" as for Qwen3-VL; "equal_steps" as for Qwen2.5-VL, whose number of frames is even as well.
    min_frames, max_frames: bounds on what fps comes to.
    num_frames: just so many of them instead, or -1 for every one up to max_frames.
    start_seconds, end_seconds: the stretch of the video to look at; None is its end.
    """

    fps: float
    min_frames: int = 4
    max_frames: int = 768
    num_frames: int | None = None
    start_seconds: float = 0.0
    end_seconds: float | None = None
    rule: Literal["both_ends", "equal_steps"] = "both_ends"
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

    def stretch(self, total: int, source_fps: float) -> range:
        """The frames that lie between start and end. Raises Refusal where there are none."""
        first = ceil(min(self.start_seconds * source_fps, total))
        end = total if self.end_seconds is None else min(floor(min(self.end_seconds * source_fps, total)) + 1, total)
        if first >= end:
            raise Refusal("media", f"lasts {total / source_fps:.2f} s: there is nothing from video_start to video_end")
        return range(first, end)

    def indices(self, total: int, source_fps: float) -> tuple[int, ...]:
        """Ascending positions in a video of `total` frames at `source_fps` per second. Raises Refusal."""
        # Not at the top: the front says what is wanted and leaves the counting to the decoding process.
        import numpy as np

        frames = self.stretch(total, source_fps)
        count = self._count(len(frames), source_fps)
        if self.rule == "both_ends":
            picked = np.linspace(0, len(frames) - 1, count).round().astype(int).tolist()
        else:  # in single precision, as there
            picked = (np.arange(count) * (len(frames) / count)).astype(np.float32).astype(int).tolist()
        return tuple(frames[0] + index for index in picked)

    def _count(self, total: int, source_fps: float) -> int:
        even = self.rule == "equal_steps" and total > 1
        if self.num_frames is not None and self.num_frames > 0:
            if self.num_frames > total:
                raise Refusal("media", f"has {total} frames, of which {self.num_frames} cannot be taken (nframes)")
            return max(self.num_frames // 2 * 2, 2) if even else self.num_frames
        wished = float(total) if self.num_frames is not None else total / source_fps * self.fps
        if even:
            most = min(self.max_frames, total) // 2 * 2
            return max(int(min(max(wished, self.min_frames), most)) // 2 * 2, 2)
        count = int(min(wished, self.max_frames))
        return min(max(count, self.min_frames), self.max_frames, total)


WantedOfVideo = FirstFrames | LastFrames | SampledFrames
Wanted = WantedImage | WantedOfVideo
