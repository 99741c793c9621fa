"""Draws the next code of every request, on the device and without waiting for it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
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

    def shuffle(self) -> None:
        """New noise for the next draw, in the same memory. Apart from drawing, as no generator works while recorded."""
        for noise, generator in zip(self._noise, self._generators, strict=True):
            noise.exponential_(generator=generator)

    def drawn(self, logits: torch.Tensor) -> torch.Tensor:
        """[B, V] → int64 [B], by the noise that there is."""
        return drawn(logits, self._noise, self._temperature, self._top_p)

    def draw(self, logits: torch.Tensor) -> torch.Tensor:
        """[B, V] → int64 [B], by new noise."""
        self.shuffle()
        return self.drawn(logits)


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
    codes = descending(scaled) if scaled.device.type != "cpu" else descending_on_host(scaled)
    sorted_chances = scaled.gather(-1, codes).softmax(-1)
    before = sorted_chances.cumsum(-1) - sorted_chances
    kept = sorted_chances.masked_fill(before > top_p, 0)
    return kept / kept.sum(-1, keepdim=True), codes


def descending(scores: torch.Tensor) -> torch.Tensor:
    """Whose score is the highest, the next highest and so on: int64 [B, V]. Of equal ones the first code comes first.

    So also where scores were rounded so much that many are equal, a seed draws the same on every machine.
    """
    return scores.sort(dim=-1, descending=True, stable=True).indices


def descending_on_host(scores: torch.Tensor) -> torch.Tensor:
    """The same in a small part of the time, of float32 on the CPU: numpy sorts whole numbers with vector instructions.

    Each is made of a score, upper half, and a code, so that no two are equal. The bits of a positive float32 are a
    whole number that is in order; those of a negative one are in the opposite order.
    """
    bits = (scores + 0.0).view(torch.int32)  # with one zero instead of two
    in_order = bits ^ (bits >> 31 & 0x7FFFFFFF)
    codes = torch.arange(scores.shape[-1], dtype=torch.int32).expand_as(bits)
    lower, upper = (codes, ~in_order) if sys.byteorder == "little" else (~in_order, codes)
    keys = torch.stack([lower, upper], dim=-1).view(torch.int64)[..., 0]
    return torch.from_numpy(np.sort(keys.numpy(), axis=-1)) & 0xFFFFFFFF
