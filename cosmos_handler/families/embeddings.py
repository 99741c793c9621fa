"""What text encoders made of texts before, kept in host memory, so that one that comes again needs no encoder."""

from collections import OrderedDict
from typing import NamedTuple

import torch


class TextKey(NamedTuple):
    """What an embedding depends on. kind: which prompt it is, as a model may put each to its encoder in another way.

    text: None is the model's own.
    """

    model: str
    kind: str
    text: str | None


class TextCache:
    """The embeddings that were used last, up to so many bytes; one that is larger by itself is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[TextKey, torch.Tensor] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: TextKey, device: torch.device) -> torch.Tensor | None:
        """The embedding on a device, as it was put in; None where it is not kept."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        return kept.to(device, copy=True)  # a copy on the host too: whoever changes it changes nothing here

    def put(self, key: TextKey, embedding: torch.Tensor) -> None:
        """Keep an embedding, in place of those that were used longest ago."""
        size_bytes = embedding.nbytes
        if size_bytes > self._max_bytes:
            return
        self._drop(key)
        while self.size_bytes + size_bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))
        self._kept[key] = embedding.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        self.size_bytes += size_bytes

    def _drop(self, key: TextKey) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self.size_bytes -= dropped.nbytes
