"""Several jobs that are made together: in one batch where they share a stage, else one after the other."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from cosmos_handler.families.base import Frames, Stopped
from cosmos_handler.families.together import SharingFamily, Together
from cosmos_handler.worker.attempt import Attempt


@dataclass
class _Member:
    """A job of the company. steps: its run. wanted: what it waits for, that is made for all of them."""

    attempt: Attempt
    steps: Generator[Any, Any, Frames]
    wanted: Any = None


class Company:
    """One try at all of them.

    begin: what is done before the run of each. finish: with the frames of each. ending: what sees to how each ends,
    around all that is done for it alone. Each ends by itself; a device that has too little memory ends all.
    """

    def __init__(
        self,
        family: SharingFamily,
        attempts: Sequence[Attempt],
        *,
        begin: Callable[[Attempt], None],
        finish: Callable[[Attempt, Frames], None],
        ending: Callable[[Attempt], AbstractContextManager[None]],
    ) -> None:
        self._family, self._attempts = family, attempts
        self._begin, self._finish, self._ending = begin, finish, ending
        self._members: list[_Member] = []
        self._present: Attempt | None = None  # whose turn it is; None while they share a stage
        for attempt in attempts:
            attempt.context.on_progress = self._heeding(attempt, attempt.context.on_progress)

    @property
    def stage_name(self) -> str:
        """Of what is done at present, or was when it came to a sudden end."""
        here = self._present or next((each for each in self._attempts if not each.has_ended), self._attempts[-1])
        return here.context.stage_name

    def run(self) -> None:
        """Until all have ended."""
        try:
            for attempt in self._attempts:
                self._join(attempt)
            while self._members:
                self._share()
        finally:
            for member in self._members:
                member.steps.close()
            self._members = []  # what they wait for lies on the device

    def _join(self, attempt: Attempt) -> None:
        if attempt.has_ended:  # cancelled while another was begun
            return
        with self._turn(attempt):
            self._begin(attempt)
            member = _Member(attempt, self._family.steps(attempt.run.task, attempt.context))
            self._members.append(member)
            self._go_on(member, None)

    def _share(self) -> None:
        """Make what all of them wait for, and take each on from there."""
        self._sweep()
        members = self._members = [member for member in self._members if not member.attempt.has_ended]
        if not members:
            return
        together = Together([member.attempt.context for member in members], on_step=self._sweep)
        try:
            made = self._family.make([member.wanted for member in members], together)
        except Stopped:
            return  # nobody is left, as the next look at them shows
        for member, one in zip(members, made, strict=True):
            if not member.attempt.has_ended:
                with self._turn(member.attempt):
                    self._go_on(member, one)

    def _go_on(self, member: _Member, made: Any) -> None:
        """As far as the next stage that is shared, or to the end."""
        try:
            member.wanted = member.steps.send(made)
        except StopIteration as end:
            self._finish(member.attempt, end.value)

    @contextmanager
    def _turn(self, attempt: Attempt) -> Iterator[None]:
        """What is done for one alone."""
        self._present = attempt
        with self._ending(attempt):
            yield
        self._present = None

    def _heeding(
        self, attempt: Attempt, on_progress: Callable[[str, int, int], None]
    ) -> Callable[[str, int, int], None]:
        """Says where one is, unless it has ended, and looks after those that wait for it."""

        def heeding(stage: str, step: int, num_steps: int) -> None:
            if not attempt.has_ended:
                on_progress(stage, step, num_steps)
            if self._present is not None:
                self._sweep()

        return heeding

    def _sweep(self) -> None:
        """End those that were cancelled while they wait; the one whose turn it is sees to itself."""
        for attempt in self._attempts:
            if attempt is not self._present and not attempt.has_ended and attempt.context.is_cancelled():
                self._stop(attempt)
                for member in self._members:
                    if member.attempt is attempt:
                        member.steps.close()  # and with it go its frames so far

    def _stop(self, attempt: Attempt) -> None:
        with self._ending(attempt):
            raise Stopped(attempt.context.stage_name)
