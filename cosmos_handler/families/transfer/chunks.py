"""A long video made chunk by chunk: how many chunks there are, and their frames as they leave the decoder."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cosmos_handler.families.pipeline import uint8_frames


def overlap_frames(num_frames: int, *, chunk_frames: int, conditional_frames: int) -> int:
    """How many frames each chunk but the first begins with.

    Zero where one chunk holds everything: the pipeline makes no chunk of a video as short as the overlap.
    """
    return 0 if num_frames <= chunk_frames else conditional_frames


def count_chunks(num_frames: int, *, chunk_frames: int, overlap: int) -> int:
    """How many chunks the pipeline makes."""
    return len(range(0, num_frames - overlap, chunk_frames - overlap))


class Film:
    """The frames of all chunks one after the other, without those that a chunk repeats."""

    def __init__(self, shape: tuple[int, int, int, int], *, overlap: int) -> None:
        self.frames: NDArray[np.uint8] = np.empty(shape, dtype=np.uint8)
        self.num_filled = 0
        self._overlap = overlap

    def take(self, chunk: NDArray[np.uint8]) -> None:
        """The next chunk; what it has beyond the end is padding."""
        fresh = chunk[self._overlap if self.num_filled else 0 :][: len(self.frames) - self.num_filled]
        self.frames[self.num_filled : self.num_filled + len(fresh)] = fresh
        self.num_filled += len(fresh)


class WatchedVae:
    """Stands where the pipeline has its VAE and hands on every chunk that is decoded.

    The pipeline decodes each chunk once, because the next one goes on from its last frames; what it makes of them
    in the end takes several times the memory in float32, so it is asked for latents and the frames are taken here.
    """

    def __init__(self, vae: torch.nn.Module, *, before: Callable[[], None], on_chunk: Callable[[Any], None]) -> None:
        self._vae = vae
        self._before = before
        self._on_chunk = on_chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vae, name)

    def decode(self, latents: torch.Tensor, *, return_dict: bool) -> Any:
        """As the VAE does it."""
        self._before()
        decoded = self._vae.decode(latents, return_dict=return_dict)  # type: ignore[operator]
        self._on_chunk(uint8_frames(decoded[0]))
        return decoded
