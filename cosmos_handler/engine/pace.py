"""How far a running job has come, and how long it will still take at the pace so far."""

import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from cosmos_handler.messages.tasks import Continue, Task
from cosmos_handler.messages.wire import Progress

# The stage that takes nearly all of most generations' time, and whose steps are known from the start.
_MAIN_STAGE = "denoise"


def main_stages(task: Task) -> tuple[str, ...]:
    """The stages of a task that take nearly all of its time, about as much each, in steps known from the start."""
    if isinstance(task, Continue):
        return ("generate", "diffusion_decode") if task.decoder == "diffusion" else ("generate",)
    return (_MAIN_STAGE,)


class Pace:
    """Fed with every step. percent: of the main stages' steps; 99 when they are done, as more is still to come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, main: Sequence[str] = (_MAIN_STAGE,)) -> None:
        self.percent = 0
        self._clock = clock
        self._shares = dict.fromkeys(main, Fraction(0))  # what is done of each
        self._began = self._latest = 0.0
        self._stage = ""
        self._first_step = self._step = self._num_steps = 0

    def note(self, progress: Progress) -> None:
        """A step is done, or a stage has begun; one of a later chunk begins where the earlier one ended."""
        self._latest = self._clock()
        if progress.stage != self._stage or progress.step < self._step:
            self._stage, self._began, self._first_step = progress.stage, self._latest, progress.step
        self._step, self._num_steps = progress.step, progress.num_steps
        if progress.stage in self._shares and progress.num_steps:
            share = Fraction(progress.step, progress.num_steps)
            self._shares[progress.stage] = max(self._shares[progress.stage], share)
            self.percent = min(99, int(100 * sum(self._shares.values()) / len(self._shares)))

    @property
    def shares(self) -> Mapping[str, Fraction]:
        """How much of each main stage is done, from 0 to 1."""
        return self._shares

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
