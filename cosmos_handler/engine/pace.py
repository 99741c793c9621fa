"""How far a running job has come, and how long it will still take at the pace so far."""

import time
from collections.abc import Callable

from cosmos_handler.messages.wire import Progress


class Pace:
    """Fed with every step. Stages that take no steps, such as decoding, count for nothing: they say nothing of time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.percent = 0
        self._clock = clock
        self._stage = ""
        self._began = self._latest = 0.0
        self._step = self._num_steps = 0

    def note(self, progress: Progress) -> None:
        """A step is done, or a stage has begun."""
        self._latest = self._clock()
        if progress.stage != self._stage or progress.step < self._step:
            self._stage, self._began = progress.stage, self._latest
        self._step, self._num_steps = progress.step, progress.num_steps
        if progress.num_steps:
            # 100 is for the job that has ended: after the last step the frames are still to be decoded.
            self.percent = max(self.percent, min(99, 100 * progress.step // progress.num_steps))

    @property
    def seconds_left(self) -> float | None:
        """Of the present stage; None where it takes no steps or none of them is done."""
        if not 0 < self._step <= self._num_steps:
            return None
        seconds_per_step = (self._latest - self._began) / self._step
        since = self._clock() - self._latest
        return max(0.0, seconds_per_step * (self._num_steps - self._step) - since)
