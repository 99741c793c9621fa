"""The keys and values of every token so far, in memory that is taken once for the whole video."""

from dataclasses import dataclass, replace

import torch

from cosmos_handler.families.autoregressive.config import CosmosAutoregressiveConfig
from cosmos_handler.families.autoregressive.places import Places, places


@dataclass(frozen=True)
class LayerCache:
    """What one layer keeps. keys, values: [B, K, S, D]. text_keys, text_values: [B, K, M, D], of the prompt."""

    keys: torch.Tensor
    values: torch.Tensor
    text_keys: torch.Tensor | None
    text_values: torch.Tensor | None

    def begin(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep those of the first N tokens: [B, K, N, D]."""
        self.keys[:, :, : keys.shape[2]] = keys
        self.values[:, :, : values.shape[2]] = values

    def put(self, positions: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep those of one token of each row, [B, K, 1, D], at its position [B]."""
        rows = torch.arange(positions.shape[0], device=positions.device)
        self.keys[rows, :, positions] = keys[:, :, 0]
        self.values[rows, :, positions] = values[:, :, 0]


@dataclass(frozen=True)
class Cache:
    """Of all layers. keys, values: [L, B, K, S, D]. text_keys, text_values: [L, B, K, M, D]."""

    keys: torch.Tensor
    values: torch.Tensor
    text_keys: torch.Tensor | None
    text_values: torch.Tensor | None
    places: Places

    @classmethod
    def of(
        cls,
        config: CosmosAutoregressiveConfig,
        batch: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
        slots: int | None = None,
        text_tokens: int = 0,
    ) -> "Cache":
        """An empty one for so many requests.

        slots: how many tokens of each there is room for; None for a whole video.
        text_tokens: of each prompt, for those that read text.
        """
        kept = config.num_slots if slots is None else slots

        def room(slots: int) -> torch.Tensor:
            layers, heads = config.num_hidden_layers, config.num_key_value_heads
            # Zeros, as what is masked is multiplied by nothing, and nothing times a stray NaN would be one.
            return torch.zeros(layers, batch, heads, slots, config.head_dim, device=device, dtype=dtype)

        return cls(
            keys=room(kept),
            values=room(kept),
            text_keys=room(text_tokens) if config.reads_text else None,
            text_values=room(text_tokens) if config.reads_text else None,
            places=places(config, device=device, dtype=dtype),
        )

    def layer(self, number: int) -> LayerCache:
        """What one layer keeps: the same memory."""
        text_keys = None if self.text_keys is None else self.text_keys[number]
        text_values = None if self.text_values is None else self.text_values[number]
        return LayerCache(self.keys[number], self.values[number], text_keys, text_values)

    def row(self, number: int) -> "Cache":
        """That of one request: the same memory."""
        one = slice(number, number + 1)
        return replace(
            self,
            keys=self.keys[:, one],
            values=self.values[:, one],
            text_keys=None if self.text_keys is None else self.text_keys[:, one],
            text_values=None if self.text_values is None else self.text_values[:, one],
        )

    def first(self, slots: int) -> "Cache":
        """Its first slots alone: the same memory. No token behind them is seen or kept."""
        return replace(self, keys=self.keys[:, :, :, :slots], values=self.values[:, :, :, :slots])
