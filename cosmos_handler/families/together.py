"""Runs that go through a stage in one batch: each by itself until it needs that stage, and again after it."""

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from cosmos_handler.families.base import Context, Family, Frames, Stopped


class Together:
    """The line of several runs to the outside, while they share a stage.

    on_step: called after every step, once all of them have said so.
    """

    def __init__(self, contexts: Sequence[Context], *, on_step: Callable[[], None] = lambda: None) -> None:
        if len({id(context.parts) for context in contexts}) != 1:
            raise ValueError("runs share a stage, but not the model: this is a bug")
        self._contexts = contexts
        self._on_step = on_step

    @contextmanager
    def stage(
        self, name: str, parts: tuple[str, ...], *, num_steps: int, from_step: int = 0
    ) -> Iterator[Mapping[str, Any]]:
        """As a stage of one run; its time and its memory are those of each. Goes on until nobody wants it any more."""
        lead = replace(
            self._contexts[0],
            is_cancelled=self._is_nobody_left,
            on_progress=self._announce,
            stage_seconds={},
            stage_peak_bytes={},
        )
        try:
            with lead.stage(name, parts, num_steps=num_steps, from_step=from_step) as modules:
                yield modules
        finally:
            for context in self._contexts:
                context.add(lead)

    def step(self, number: int, num_steps: int) -> None:
        """A step is done for all, counted from 1; raises Stopped when it was the last that anybody wants."""
        self._announce(self._contexts[0].stage_name, number, num_steps)
        self._on_step()
        if self._is_nobody_left():
            raise Stopped(self._contexts[0].stage_name)

    def _announce(self, stage: str, step: int, num_steps: int) -> None:
        for context in self._contexts:
            context.announce(stage, step, num_steps)

    def _is_nobody_left(self) -> bool:
        return all(context.is_cancelled() for context in self._contexts)


class SharingFamily(Family):
    """A family of which several runs of like tasks can share what takes longest."""

    def run(self, task: Any, context: Context) -> Frames:
        """Do one task by itself."""
        steps, together, made = self.steps(task, context), Together((context,)), None
        while True:
            try:
                wanted = steps.send(made)
            except StopIteration as end:
                frames: Frames = end.value
                return frames
            (made,) = self.make([wanted], together)

    @abstractmethod
    def steps(self, task: Any, context: Context) -> Generator[Any, Any, Frames]:
        """A run that stops, outside of all stages, wherever it wants something made, and is sent what was.

        Raises as `run` does.
        """

    @abstractmethod
    def make(self, wanted: Sequence[Any], together: Together) -> Sequence[Any]:
        """What some runs of like tasks want, all in one batch. Raises Stopped when none of them wants it any more."""
