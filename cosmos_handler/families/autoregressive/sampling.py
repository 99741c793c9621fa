"""Draws the next code of every request, on the device and without waiting for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

_SMALLEST_TEMPERATURE = 1e-5


@dataclass(frozen=True)
class Sampling:
    """What a request asks for. temperature: 0 takes the likeliest. top_p: the chance of all that is drawn from."""

    temperature: float
    top_p: float
    seed: int


class Sampler:
    """Draws for several requests at a time: each has a generator of its own, so what lies beside it changes nothing."""

    def __init__(self, samplings: Sequence[Sampling], *, vocabulary: int, device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(each.seed) for each in samplings]
        self._noise = torch.empty(len(samplings), vocabulary, device=device)
        self._temperature = torch.tensor([[each.temperature] for each in samplings], device=device)
        self._top_p = torch.tensor([[each.top_p] for each in samplings], device=device)

    def draw(self, logits: torch.Tensor) -> torch.Tensor:
        """[B, V] → int64 [B]."""
        for noise, generator in zip(self._noise, self._generators, strict=True):
            noise.exponential_(generator=generator)
        return drawn(logits, self._noise, self._temperature, self._top_p)


def drawn(logits: torch.Tensor, noise: torch.Tensor, temperature: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """The codes [B] that some noise chooses. noise: exponential [B, V]. temperature, top_p: [B, 1]."""
    sorted_chances, codes = chances(logits, temperature, top_p)
    # A race of exponential clocks: the first one is each with its chance, and no number comes to the host.
    raced = codes.gather(-1, (sorted_chances / noise).argmax(-1, keepdim=True))
    return torch.where(temperature > 0, raced, codes[:, :1])[:, 0]


def chances(logits: torch.Tensor, temperature: torch.Tensor, top_p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The chances in descending order, and whose they are: [B, V] each.

    All are 0 behind the first few that have top_p together. In float32, where NVIDIA's code adds them up as rounded as
    the scores are.
    """
    scaled = logits.float() / temperature.clamp(min=_SMALLEST_TEMPERATURE)
    sorted_scores, codes = scaled.sort(dim=-1, descending=True)
    sorted_chances = sorted_scores.softmax(-1)
    before = sorted_chances.cumsum(-1) - sorted_chances
    kept = sorted_chances.masked_fill(before > top_p, 0)
    return kept / kept.sum(-1, keepdim=True), codes
