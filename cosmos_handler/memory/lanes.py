"""Copies to the device beside its work: a stream of their own on a GPU, in order on a CPU."""

from typing import Any

import torch

# The library's streams and events are not typed.
_cuda: Any = torch.cuda


class Lane:
    """The way from host memory to one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream: Any = _cuda.Stream(device) if device.type == "cuda" else None

    def allocate(self, size_bytes: int) -> torch.Tensor:
        """Memory on the device, to copy into: uint8 [size_bytes].

        It may be memory that kernels still read which were queued before, so copies wait for those.
        """
        memory = torch.empty(size_bytes, dtype=torch.uint8, device=self.device)
        if self._stream is not None:
            self._stream.wait_stream(_cuda.current_stream(self.device))
        return memory

    def copy(self, destination: torch.Tensor, source: torch.Tensor) -> None:
        """Queue a copy; the work does not wait for it."""
        if self._stream is None:
            destination.copy_(source)
            return
        with _cuda.stream(self._stream):
            destination.copy_(source, non_blocking=True)

    def mark(self) -> "Mark":
        """The copies that are queued by now."""
        if self._stream is None:
            return Mark(None)
        event = _cuda.Event()
        event.record(self._stream)
        return Mark(event)

    def after_work(self) -> None:
        """Have later copies wait for the work that is queued by now."""
        if self._stream is not None:
            event = _cuda.Event()
            event.record(_cuda.current_stream(self.device))
            self._stream.wait_event(event)

    def join(self) -> None:
        """Have the work wait for all copies, so that memory which they write can be given back."""
        if self._stream is not None:
            _cuda.current_stream(self.device).wait_stream(self._stream)


class Mark:
    """A place in the queue of copies."""

    def __init__(self, event: Any) -> None:
        self._event = event

    def wait(self) -> None:
        """Have the work that is queued from now on wait until they are done."""
        if self._event is not None:
            self._event.wait()
