"""The encoder of T5, which reads the prompts of Cosmos 1.0 to 2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.memory.shapes.values import FLOAT_BYTES, INDEX_BYTES, value_bytes
from cosmos_handler.memory.sheet import Work


@dataclass(frozen=True)
class T5:
    """The encoder alone."""

    width: int
    layers: int
    heads: int
    head_width: int
    mlp_width: int
    gated: bool
    value_bytes: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dtype: str) -> "T5":
        """By config.json; what is left out is as in T5-11B."""
        return cls(
            width=config.get("d_model", 1024),
            layers=config.get("num_layers", 24),
            heads=config.get("num_heads", 128),
            head_width=config.get("d_kv", 128),
            mlp_width=config.get("d_ff", 65536),
            gated=str(config.get("feed_forward_proj", "relu")).startswith("gated"),
            value_bytes=value_bytes(dtype),
        )

    def read_bytes(self, tokens: int) -> int:
        """The most that reading a prompt has alive beside it."""
        unit = tokens * self.width * self.value_bytes
        inner = tokens * self.heads * self.head_width * self.value_bytes
        wide = tokens * self.mlp_width * self.value_bytes
        # How far tokens are from each other, for every head; with the mask, which leaves padding out, once more.
        pairs = tokens * tokens
        bias = pairs * self.heads * self.value_bytes
        finding = pairs * (6 * INDEX_BYTES + FLOAT_BYTES) + bias
        looking = 4 * inner + 2 * bias + tokens * self.heads * FLOAT_BYTES
        thinking = bias + (3 if self.gated else 2) * wide
        return (
            5 * unit + pairs + max(finding + 3 * inner, looking, thinking, bias + 2 * tokens * self.width * FLOAT_BYTES)
        )

    def read_work(self, tokens: int) -> Work:
        """Operations of reading a prompt."""
        inner = self.heads * self.head_width
        layer = self.width * (4 * inner + (3 if self.gated else 2) * self.mlp_width)
        return Work(2.0 * tokens * self.layers * layer, 4.0 * self.layers * inner * tokens * tokens)
