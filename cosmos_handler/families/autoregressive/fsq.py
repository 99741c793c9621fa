"""Finite scalar quantization: each channel of a latent is rounded to one of a few levels; together they are a token."""

import math
from collections.abc import Sequence

import torch

_ROOM = 1e-3  # by which the bound is wider than the outermost levels, so that those are reached


class FiniteScalarQuantizer(torch.nn.Module):
    """Latents to indices, and indices to the codes that the decoder takes; it has no weights.

    levels: how many values each channel may have. The first channel is the lowest digit of an index.
    """

    levels: torch.Tensor
    places: torch.Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.num_codes = math.prod(levels)
        places = [math.prod(levels[:channel]) for channel in range(len(levels))]
        # Whole numbers, which a change of the module's type leaves as they are.
        self.register_buffer("levels", torch.tensor(levels, dtype=torch.int32), persistent=False)
        self.register_buffer("places", torch.tensor(places, dtype=torch.int32), persistent=False)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """The indices [B, ...], int64, of latents [B, C, ...] with a channel for each of the levels."""
        digits = self._bounded(latents.movedim(1, -1)).round().to(torch.int64) + self.levels // 2
        return (digits * self.places).sum(dim=-1)

    def codes(self, indices: torch.Tensor) -> torch.Tensor:
        """The codes [B, C, ...], float32 from -1 to 1, of indices [B, ...]."""
        digits = indices.unsqueeze(-1) // self.places % self.levels
        half = self.levels // 2
        return ((digits - half) / half).movedim(-1, 1)

    def _bounded(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents [..., C] pressed between the levels; where their number is even, there is one more below zero."""
        half = (self.levels - 1) * (1 + _ROOM) / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        shift = (offset / half).atanh()
        return (latents + shift).tanh() * half - offset
