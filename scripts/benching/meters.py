"""What the device holds and how long steps take, while something runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch


class Peak(Protocol):
    """As `cosmos_handler.memory.probe.Peak`."""

    def reset(self) -> None:
        """Begin to measure anew."""

    def read_bytes(self) -> int | None:
        """The peak since then; None where it cannot be measured."""


class AllocatorPeak:
    """The most that torch's allocator has handed out; nothing on a CPU, which hands out the host's memory."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"

    def reset(self) -> None:
        """Begin to measure anew."""
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()

    def read_bytes(self) -> int | None:
        """The peak since then."""
        return torch.cuda.max_memory_allocated() if self._on_gpu else None


# Steps that take longer than asking about them; tokens are so short that only the first and the last are looked at.
_LONG_STEPS, _TOKENS = ("denoise", "diffusion_decode"), "generate"


@dataclass
class Clock:
    """When each step ended, and the most that the driver has said is used.

    token_ends: when the first token was made and when the last; num_tokens: how many were.
    The driver counts the allocator's reserve, the context and the libraries as well. The allocator keeps what it was
    given, so that what is used now is the most that has been.
    """

    device: torch.device
    step_ends: list[float] = field(default_factory=list)
    token_ends: list[float] = field(default_factory=list)
    num_tokens: int = 0
    driver_bytes: int | None = None

    def on_progress(self, stage: str, step: int, num_steps: int) -> None:
        """As a context's on_progress."""
        if stage == _TOKENS and step not in (0, 1, num_steps):
            return
        synchronize(self.device)
        if stage in _LONG_STEPS and step:
            self.step_ends.append(time.perf_counter())
        if stage == _TOKENS and step:
            self.token_ends.append(time.perf_counter())
            self.num_tokens = step
        if self.device.type == "cuda":
            free, total = torch.cuda.mem_get_info()
            self.driver_bytes = max(self.driver_bytes or 0, total - free)

    def seconds_per_step(self) -> float | None:
        """Of every step but the first, before which weights come."""
        if len(self.step_ends) < 2:
            return None
        return (self.step_ends[-1] - self.step_ends[0]) / (len(self.step_ends) - 1)

    def seconds_per_token(self) -> float | None:
        """Of every token but the first, before which weights come and all that is given is read."""
        if len(self.token_ends) < 2:
            return None
        return (self.token_ends[-1] - self.token_ends[0]) / (self.num_tokens - 1)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def settle(device: torch.device) -> None:
    """Give back what the allocator has in reserve, so that the driver's figure is that of the next run."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()


def timed(work: Callable[[], object], device: torch.device) -> float:
    """How many seconds some work takes."""
    synchronize(device)
    began = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - began


@contextmanager
def one_thread() -> Iterator[None]:
    """torch without threads of its own: in a small network these wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
