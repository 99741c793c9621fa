"""What every family is to the process around it, and what it may ask of that process while it runs."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.messages.results import Found


class Stopped(Exception):
    """Raised inside a run when its job has been cancelled."""


@dataclass(frozen=True)
class Frames:
    """Frames as the decoder gave them, uint8 [T, H, W, 3] RGB, and how many of them were asked for."""

    frames: NDArray[np.uint8]
    num_output_frames: int
    fps: float


@dataclass(frozen=True)
class Words:
    """An answer. reasoning: what stood between think tags, if anything did. found: None unless asked for."""

    text: str
    reasoning: str | None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    found: tuple[Found, ...] | None = None


@dataclass
class Context:
    """One run's line to the outside: stages, steps, words, and whether to go on.

    on_progress: stage, step, num_steps. on_words: text, whether it is reasoning.
    """

    parts: PlacedParts
    is_cancelled: Callable[[], bool]
    on_progress: Callable[[str, int, int], None]
    on_words: Callable[[str, bool], None]
    stage_seconds: dict[str, float] = field(default_factory=dict)
    stage_name: str = "queued"
    step_number: int = 0

    @contextmanager
    def stage(
        self, name: str, parts: tuple[str, ...] = (), *, num_steps: int = 0, from_step: int = 0
    ) -> Iterator[Mapping[str, Any]]:
        """A stage with the parts it needs, on the device and by name; timed and announced.

        from_step: how many of num_steps were done before, where a stage is entered once for every chunk of a video.
        """
        self.raise_if_cancelled()
        self.stage_name, self.step_number = name, from_step
        self.on_progress(name, from_step, num_steps)
        began = time.perf_counter()
        try:
            with self.parts.use(parts) as modules:
                yield modules
                self.parts.synchronize()
        finally:
            self.stage_seconds[name] = self.stage_seconds.get(name, 0.0) + time.perf_counter() - began

    def step(self, number: int, num_steps: int) -> None:
        """A step is done, counted from 1; raises Stopped when it was the last that anybody wants."""
        self.step_number = number
        self.on_progress(self.stage_name, number, num_steps)
        self.raise_if_cancelled()

    def raise_if_cancelled(self) -> None:
        """Stop here if the job was cancelled."""
        if self.is_cancelled():
            raise Stopped(self.stage_name)


class Family(ABC):
    """Runs the checkpoints of one kind. It names parts and stages; it never loads or moves weights."""

    PART_CLASSES: ClassVar[Mapping[str, PartClass]]

    @abstractmethod
    def __init__(self, checkpoint: Checkpoint, parts: PlacedParts) -> None:
        """Set up around loaded parts: tokenizers and schedulers are read here."""

    @abstractmethod
    def run(self, task: Any, context: Context) -> Frames | Words:
        """Do a task. Raises RequestError for what the client can mend, Stopped when cancelled."""
