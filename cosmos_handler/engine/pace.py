"""How far a running job has come, and how long it will still take at the pace so far."""

import time
from collections.abc import Callable

from cosmos_handler.messages.wire import Progress

# The stage that takes nearly all of a generation's time, and whose steps are known from the start.
MAIN_STAGE = "denoise"


class Pace:
    """Fed with every step. percent: of the denoising steps; 99 when they are done, as decoding is still to come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.percent = 0
        self._clock = clock
        self._began = self._latest = 0.0
        self._stage = ""
        self._first_step = self._step = self._num_steps = 0

    def note(self, progress: Progress) -> None:
        """A step is done, or a stage has begun; one of a later chunk begins where the earlier one ended."""
        self._latest = self._clock()
        if progress.stage != self._stage or progress.step < self._step:
            self._stage, self._began, self._first_step = progress.stage, self._latest, progress.step
        self._step, self._num_steps = progress.step, progress.num_steps
        if progress.stage == MAIN_STAGE and progress.num_steps:
            self.percent = max(self.percent, min(99, 100 * progress.step // progress.num_steps))

    @property
    def seconds_in_stage(self) -> float:
        """How long the present one has taken."""
        return self._clock() - self._began if self._stage else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Of the present stage; None where it takes no steps or none of them is done."""
        num_done = self._step - self._first_step
        if num_done <= 0:
            return None
        seconds_per_step = (self._latest - self._began) / num_done
        since = self._clock() - self._latest
        return max(0.0, seconds_per_step * (self._num_steps - self._step) - since)
