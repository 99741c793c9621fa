"""Weights in host memory: one stretch a part, pinned for the GPU, and one copy of it for all model processes.

The stretch is an anonymous file (memfd), whose descriptor every model process inherits: it takes no room in /dev/shm,
which is small in containers, and outlives a process that dies. Whoever comes first fills it.
"""

import fcntl
import logging
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from cosmos_handler.memory.layout import Layout

log = logging.getLogger(__name__)

# Before the weights stands whether they are there: a mark, and how many bytes they take.
_HEAD_BYTES = mmap.PAGESIZE
_MARK = b"COSMOSW1"
_HEAD = struct.Struct("<8sQ")


class HostMemory:
    """The stretch of one part.

    descriptor: of the shared file; None for a process that shares with nobody. tensors: the weights, by the id of
    their parameter.
    """

    def __init__(self, descriptor: int | None, layout: Layout, tensors: Mapping[int, torch.Tensor]) -> None:
        self._descriptor = os.memfd_create("cosmos-weights") if descriptor is None else descriptor
        self._layout = layout
        self.is_pinned = False
        with _alone(self._descriptor):
            self._map = self._filled() or self._fill(tensors)
        self.bytes = torch.frombuffer(self._map, dtype=torch.uint8, offset=_HEAD_BYTES)

    def pin(self) -> None:
        """Let the GPU read it directly, without a copy in between. What cannot be pinned works, more slowly."""
        if self.is_pinned:
            return
        runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]  # the library's own bindings
        code = runtime.cudaHostRegister(self.bytes.data_ptr(), self.bytes.numel(), 0)
        self.is_pinned = int(code) == 0
        if not self.is_pinned:
            log.warning(
                "%d bytes of host memory cannot be pinned (error %d): copies take longer", len(self.bytes), code
            )

    def _filled(self) -> mmap.mmap | None:
        size = os.fstat(self._descriptor).st_size
        if size < _HEAD_BYTES:
            return None
        mark, stored_bytes = _HEAD.unpack(os.pread(self._descriptor, _HEAD.size, 0))
        if mark != _MARK or stored_bytes != self._layout.size_bytes:
            return None
        return mmap.mmap(self._descriptor, size)

    def _fill(self, tensors: Mapping[int, torch.Tensor]) -> mmap.mmap:
        size = _HEAD_BYTES + max(self._layout.size_bytes, 1)
        os.ftruncate(self._descriptor, 0)
        os.ftruncate(self._descriptor, size)
        mapped = mmap.mmap(self._descriptor, size)
        whole = torch.frombuffer(mapped, dtype=torch.uint8, offset=_HEAD_BYTES)
        for unit in self._layout.units:
            memory = whole[unit.begin : unit.begin + unit.size_bytes]
            for slot in unit.slots:
                slot.view(memory).copy_(tensors[id(slot.tensor)])
        # Last of all, so that what a dying process leaves half filled is filled again.
        os.pwrite(self._descriptor, _HEAD.pack(_MARK, self._layout.size_bytes), 0)
        return mapped


class SharedFiles:
    """The files that this process has inherited, by owner and part."""

    def __init__(self, descriptors: Mapping[str, int] | None = None) -> None:
        self._descriptors = dict(descriptors or {})

    def memory(self, key: str, layout: Layout, tensors: Mapping[int, torch.Tensor]) -> HostMemory:
        """The stretch of a part, filled."""
        return HostMemory(self._descriptors.get(key), layout, tensors)


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """One process at a time. The lock goes with a process that dies."""
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)
