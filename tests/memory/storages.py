"""Counts the bytes of tensors that are really alive, by what torch allocates and drops; knows nothing of any plan."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class StorageCounter(TorchDispatchMode):
    """Storages that are made while it is entered, on any device, meta included; a view has none of its own.

    live_bytes: of those that are alive now. peak_bytes: the most that live_bytes has been.
    What the kernels allocate and free inside of one operation is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live_bytes = 0
        self.peak_bytes = 0
        self._live: dict[int, int] = {}
        self._is_paused = False
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def reset_peak(self) -> None:
        """Begin to look for the peak anew."""
        self.peak_bytes = self.live_bytes

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is made in the block, such as what lies on the host where the device is the CPU."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before

    def ignore(self, tensors: Any) -> None:
        """Leave out what was there before, such as weights and inputs, which operations in place give back."""
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, torch.Tensor):
                self._known.add(tensor.untyped_storage())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count what it made."""
        kwargs = kwargs or {}
        self.ignore((args, kwargs))
        made = func(*args, **kwargs)
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        if self._is_paused:
            return
        size_bytes = storage.nbytes()
        key = id(storage)
        self._live[key] = size_bytes
        self.live_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        # The storage's Python object lives as long as the storage itself.
        weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        self.live_bytes -= self._live.pop(key)


@contextmanager
def flash_attention() -> Iterator[None]:
    """In place of torch's attention one that allocates as the kernels of a GPU do: the output, and a float32 a row.

    What it gives is not attention. Elsewhere torch has the scores of all pairs in memory, or none of them.
    """
    original = torch.nn.functional.scaled_dot_product_attention

    def attend(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        batch, heads, tokens, _ = query.shape
        out = torch.empty((batch, tokens, heads, value.shape[-1]), dtype=query.dtype, device=query.device)
        torch.empty((batch, heads, tokens), dtype=torch.float32, device=query.device)
        return out.transpose(1, 2)

    torch.nn.functional.scaled_dot_product_attention = attend
    try:
        yield
    finally:
        torch.nn.functional.scaled_dot_product_attention = original
