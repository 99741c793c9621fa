"""Where each token lies in the video: how queries and keys are rotated there, and what is added to every layer's input.

The channels of a head are shared out among frames, rows and columns; so are those of a token.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch

from cosmos_handler.families.autoregressive.config import CosmosAutoregressiveConfig

_SINUSOID_BASE = 10000


@dataclass(frozen=True)
class Places:
    """cosines, sines: [S, D]. added: [S, W], for those that read text."""

    cosines: torch.Tensor
    sines: torch.Tensor
    added: torch.Tensor | None

    def at(self, positions: torch.Tensor) -> "Places":
        """Of some positions [B, N]: [B, N, D] and [B, N, W]."""
        added = None if self.added is None else self.added[positions]
        return Places(self.cosines[positions], self.sines[positions], added)


def places(config: CosmosAutoregressiveConfig, *, device: torch.device, dtype: torch.dtype) -> Places:
    """Of all slots. To what stands before the video, and behind it, nothing is done."""
    box = torch.cartesian_prod(*(torch.arange(size) for size in config.latent_shape))  # frame, row, column of each code
    temporal, spatial = frequencies(config)
    turns = [torch.outer(box[:, axis].float(), each) for axis, each in enumerate((temporal, spatial, spatial))]
    angles = _in_slots(torch.cat(turns * 2, dim=-1), config)
    added = None
    if config.reads_text:
        widths = thirds(config.hidden_size)
        # Rounded as they were in the training.
        tables = [_sinusoids(size, width) for size, width in zip(config.latent_shape, widths, strict=True)]
        summand = torch.cat([table[box[:, axis]] for axis, table in enumerate(tables)], dim=-1)
        added = _in_slots(summand, config).to(device, dtype)
    return Places(angles.cos().to(device, dtype), angles.sin().to(device, dtype), added)


def frequencies(config: CosmosAutoregressiveConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Radians per frame, and per row or column: one for every pair of channels that these have in a head."""
    temporal, spatial, _ = (
        1.0 / config.rope_theta ** (torch.arange(0, width, 2).float() / width) for width in thirds(config.head_dim)
    )
    if config.yarn is None:
        return temporal, spatial
    frames, rows, _ = config.yarn["original_latent_shape"]  # the columns are taken to be as many as the rows
    return _slower(temporal, config.yarn, frames), _slower(spatial, config.yarn, rows)


def thirds(width: int) -> tuple[int, int, int]:
    """How many of so many channels are for frames, rows and columns: even numbers, what is left over for frames."""
    share = width // 6 * 2
    return width - 2 * share, share, share


def _slower(radians: torch.Tensor, yarn: dict[str, Any], original: int) -> torch.Tensor:
    """YaRN: what turns less than beta_slow times over the original length is slowed; beta_fast times and more, not."""
    slow, fast = (2 * math.pi * yarn[name] / original for name in ("beta_slow", "beta_fast"))
    kept = ((radians - slow) / (fast - slow)).clamp(0, 1)
    slowed: torch.Tensor = radians * ((1 - kept) / yarn["scale"] + kept)
    return slowed


def _sinusoids(count: int, width: int) -> torch.Tensor:
    """Sines and then cosines of 0 … count - 1: bfloat16 [count, width]."""
    steps = torch.arange(width // 2, dtype=torch.float64) / (width / 2)
    angles = torch.outer(torch.arange(count, dtype=torch.float64), 1.0 / _SINUSOID_BASE**steps)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(torch.bfloat16)


def _in_slots(values: torch.Tensor, config: CosmosAutoregressiveConfig) -> torch.Tensor:
    """The values of all codes [T·H·W, C] at their places among all slots: [S, C]."""
    before = len(config.begin_tokens)
    return torch.nn.functional.pad(values, (0, 0, before, config.num_slots - before - values.shape[0]))
