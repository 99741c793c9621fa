"""diffusers' Cosmos3OmniTransformer: a reasoner's tower for the words, and a generator's for what is made."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.memory.shapes.values import FLOAT_BYTES, INDEX_BYTES, value_bytes
from cosmos_handler.memory.sheet import Work

_TIME_CHANNELS = 256


@dataclass(frozen=True)
class Omni:
    """Both towers, which are of equal size. gated: whether their MLPs have a gate."""

    width: int
    layers: int
    heads: int
    key_heads: int
    head_width: int
    mlp_width: int
    latent_channels: int
    patch: int
    gated: bool
    value_bytes: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dtype: str) -> "Omni":
        """By config.json; what it leaves out is as the library's class has it."""
        return cls(
            width=config.get("hidden_size", 4096),
            layers=config.get("num_hidden_layers", 36),
            heads=config.get("num_attention_heads", 32),
            key_heads=config.get("num_key_value_heads", 8),
            head_width=config.get("head_dim", 128),
            mlp_width=config.get("intermediate_size", 12288),
            latent_channels=config.get("latent_channel", 48),
            patch=config.get("latent_patch_size", 2),
            gated=config.get("hidden_act", "silu") == "silu",
            value_bytes=value_bytes(dtype),
        )

    @property
    def kept_single_bytes(self) -> int:
        """What the network of times, which the library loads in float32, takes beyond its stored size."""
        values = self.width * (_TIME_CHANNELS + self.width + 2)
        return values * (FLOAT_BYTES - self.value_bytes)

    def tokens(self, latent_frames: int, rows: int, columns: int) -> int:
        """Patches of so many latents; what is left at an edge is a patch of its own."""
        return latent_frames * math.ceil(rows / self.patch) * math.ceil(columns / self.patch)

    def forward_bytes(self, tokens: int, text_tokens: int) -> int:
        """The most that a forward has alive beside its inputs, its output included. tokens: of what is made."""
        layer = max(
            self._layer_bytes(tokens) + self._layer_bytes(text_tokens, held_only=True),
            self._layer_bytes(text_tokens) + self._layer_bytes(tokens, held_only=True),
        )
        both = self._unit(tokens + text_tokens)
        # All tokens at first, those of what is made and their times, and the layer's input.
        around = both + 2 * self._unit(tokens) + self._unit(text_tokens) + both
        rotations = 4 * (tokens + text_tokens) * self.head_width * self.value_bytes
        patches = 5 * tokens * self.latent_channels * self.patch**2 * self.value_bytes
        indices = 4 * (tokens + text_tokens) * INDEX_BYTES
        single = tokens * self.width * FLOAT_BYTES
        entering = (
            both + self._unit(tokens) + 2 * single + self._unit(tokens) + tokens * _TIME_CHANNELS * FLOAT_BYTES * 2
        )
        own = max(around + layer, entering)
        return own + rotations + patches + indices

    def forward_work(self, tokens: int, text_tokens: int) -> Work:
        """Operations of one forward."""
        inside = self.head_width * (2 * self.heads + 2 * self.key_heads)
        layer = self.width * (inside + (3 if self.gated else 2) * self.mlp_width)
        patches = 2 * tokens * self.width * self.latent_channels * self.patch**2
        times = tokens * self.width * (_TIME_CHANNELS + self.width)
        pairs = tokens * (tokens + text_tokens) + text_tokens * text_tokens / 2
        attention = 4.0 * self.layers * self.heads * self.head_width * pairs
        return Work(2.0 * (self.layers * (tokens + text_tokens) * layer + patches + times), attention)

    def _unit(self, tokens: int) -> int:
        return tokens * self.width * self.value_bytes

    def _layer_bytes(self, tokens: int, *, held_only: bool = False) -> int:
        """The most that a layer adds for the tokens of one tower. held_only: what stays for the layer's length."""
        unit = self._unit(tokens)
        single = tokens * self.width * FLOAT_BYTES
        query = tokens * self.heads * self.head_width * self.value_bytes
        query_single = tokens * self.heads * self.head_width * FLOAT_BYTES
        keys = tokens * self.key_heads * self.head_width * self.value_bytes
        wide = tokens * self.mlp_width * self.value_bytes
        if held_only:
            return max(unit + query + 5 * keys, 5 * unit)
        norm = max(2 * single, single + 2 * unit)
        head_norm = unit + query + 2 * keys + max(2 * query_single, query_single + 2 * query)
        rotating = unit + query + 2 * keys + 3 * query
        looking = unit + 2 * query + 4 * keys + tokens * self.heads * FLOAT_BYTES
        thinking = 4 * unit + (3 if self.gated else 2) * wide
        return max(norm, head_norm, rotating, looking, 3 * unit + norm, thinking)
