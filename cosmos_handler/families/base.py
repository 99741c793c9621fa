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
from cosmos_handler.families.embeddings import TextCache
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.memory.probe import Peak
from cosmos_handler.messages.machine import DecodeMode
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
    decode_mode: how latents become frames. text_cache: the process's embeddings of texts; None: each is made anew.
    spare_bytes: what the device has beside the weights, for a reasoner's conversation.
    peak: what measures the memory of the device. stage_peak_bytes: the most in each stage by itself.
    stage_seconds: of each stage by itself, without those of the stages inside of it.
    """

    parts: PlacedParts
    is_cancelled: Callable[[], bool]
    on_progress: Callable[[str, int, int], None]
    on_words: Callable[[str, bool], None]
    stage_seconds: dict[str, float] = field(default_factory=dict)
    stage_name: str = "queued"
    step_number: int = 0
    decode_mode: DecodeMode = "exact"
    spare_bytes: int = 2**63
    peak: Peak | None = None
    stage_peak_bytes: dict[str, int] = field(default_factory=dict)
    text_cache: TextCache | None = None
    _num_steps: int = 0
    _is_inside: bool = False
    _seconds_inside: float = 0.0  # of the stages that ended inside of the present one

    @contextmanager
    def stage(
        self,
        name: str,
        parts: tuple[str, ...] = (),
        *,
        lazily: bool = False,
        num_steps: int = 0,
        from_step: int = 0,
    ) -> Iterator[Mapping[str, Any]]:
        """A stage with the parts it needs, on the device and by name; timed and announced.

        lazily: the parts come when they are first called, and are away while a stage inside of this one has others.
        from_step: how many of num_steps were done before, where a stage is entered once for every chunk of a video.
        A stage inside of another one is announced as any other, and when it is done so is the outer one, at its step.
        """
        self.raise_if_cancelled()
        outer = (self.stage_name, self.step_number, self._num_steps) if self._is_inside else None
        if outer:
            self.parts.synchronize()  # what the outer one has begun is done in its own time
            self._note_peak()
        seconds_beside, self._seconds_inside, self._is_inside = self._seconds_inside, 0.0, True
        self.announce(name, from_step, num_steps)
        began = time.perf_counter()
        try:
            with self.parts.stage(name), self.parts.use(parts, lazily=lazily) as modules:
                if self.peak is not None:
                    self.peak.reset()  # what the stage before has left there is gone by now
                yield modules
                self.parts.synchronize()
        finally:
            self._note_peak(name)
            seconds = time.perf_counter() - began
            self.stage_seconds[name] = self.stage_seconds.get(name, 0.0) + seconds - self._seconds_inside
            self._seconds_inside, self._is_inside = seconds_beside + seconds, outer is not None
        if outer:  # and not after an error: the stage that it came in is the one to name
            self.announce(*outer)

    def _note_peak(self, name: str | None = None) -> None:
        """What the device held since the stage began or went on; it is measured anew from here."""
        if self.peak is None:
            return
        name, measured = name or self.stage_name, self.peak.read_bytes()
        if measured is not None:
            self.stage_peak_bytes[name] = max(measured, self.stage_peak_bytes.get(name, 0))
        self.peak.reset()

    def announce(self, name: str, step: int, num_steps: int) -> None:
        """Say where the run is."""
        self.stage_name, self.step_number, self._num_steps = name, step, num_steps
        self.on_progress(name, step, num_steps)

    def add(self, other: "Context") -> None:
        """The seconds and the peaks of another line, whose stages were this run's as well."""
        for name, seconds in other.stage_seconds.items():
            self.stage_seconds[name] = self.stage_seconds.get(name, 0.0) + seconds
        for name, measured in other.stage_peak_bytes.items():
            self.stage_peak_bytes[name] = max(measured, self.stage_peak_bytes.get(name, 0))

    def step(self, number: int, num_steps: int) -> None:
        """A step is done, counted from 1; raises Stopped when it was the last that anybody wants."""
        self.announce(self.stage_name, number, num_steps)
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
