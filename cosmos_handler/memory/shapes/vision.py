"""The eyes of Qwen2.5-VL and Qwen3-VL in transformers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.memory.shapes.values import FLOAT_BYTES, INDEX_BYTES, value_bytes
from cosmos_handler.memory.sheet import Work

_SIZES_BYTES = 4096  # of the pictures, and where each of them begins


@dataclass(frozen=True)
class Vision:
    """gated: whether the MLP has a gate, as in Qwen2.5. deep: how many layers' outputs go to the language model."""

    width: int
    layers: int
    heads: int
    mlp_width: int
    out_width: int
    patch: int
    temporal_patch: int
    merge: int
    gated: bool
    deep: int
    value_bytes: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dtype: str) -> "Vision":
        """By the config.json of the eyes alone, or of the whole model."""
        own = config.get("vision_config", config)
        gated = str(own.get("model_type", config.get("model_type", ""))).startswith("qwen2_5")
        return cls(
            width=own.get("hidden_size", 1280 if gated else 1152),
            layers=own.get("depth", 32 if gated else 27),
            heads=own.get("num_heads", 16),
            mlp_width=own.get("intermediate_size", 3420 if gated else 4304),
            out_width=own.get("out_hidden_size", 3584),
            patch=own.get("patch_size", 14 if gated else 16),
            temporal_patch=own.get("temporal_patch_size", 2),
            merge=own.get("spatial_merge_size", 2),
            gated=gated,
            deep=0 if gated else len(own.get("deepstack_visual_indexes", (8, 16, 24))),
            value_bytes=value_bytes(dtype),
        )

    @property
    def pixels_per_token(self) -> int:
        """Of one frame, or of two frames that are merged, each."""
        return (self.patch * self.merge) ** 2

    def pixels_bytes(self, tokens: int) -> int:
        """Pixels of so many tokens as they come, in float32."""
        return tokens * self.merge**2 * 3 * self.temporal_patch * self.patch**2 * FLOAT_BYTES

    def seen_bytes(self, tokens: int) -> int:
        """What looking gives, for the language model and for its first layers, under two names for a while."""
        return 2 * (1 + self.deep) * tokens * self.out_width * self.value_bytes

    def look_bytes(self, tokens: int) -> int:
        """The most that looking has alive, pixels and what it gives included. tokens: after merging."""
        patches = tokens * self.merge**2
        unit = patches * self.width * self.value_bytes
        single = patches * self.width * FLOAT_BYTES
        wide = patches * self.mlp_width * self.value_bytes
        is_half = self.value_bytes < FLOAT_BYTES
        pixels = patches * 3 * self.temporal_patch * self.patch**2 * (FLOAT_BYTES + self.value_bytes * is_half)
        rotations = 2 * patches * (self.width // self.heads) * FLOAT_BYTES
        seen = tokens * self.out_width * self.value_bytes
        base = pixels + rotations + self.deep * seen + unit + 8 * patches * INDEX_BYTES + _SIZES_BYTES
        if not self.gated:
            base += single  # the learned positions, which keep a name
        # Queries and keys are turned in float32, a copy of each where that is another type.
        attention = 4 * unit + max((6 if is_half else 4) * single, 5 * unit)
        # In Qwen2.5-VL the norm is an RMS norm in float32; beside the sum after attention.
        thinking = unit + unit + (3 if self.gated else 2) * wide
        norming = unit + 2 * single + 2 * unit
        positions = 0 if self.gated else 4 * (unit + patches * self.width * FLOAT_BYTES)
        merging = 3 * unit + 2 * seen
        return base + max(attention, thinking, norming, positions, merging)

    def look_work(self, tokens: int, pictures: int) -> Work:
        """Operations. pictures: how many of equal size, each of which looks only at itself."""
        patches = tokens * self.merge**2
        layer = self.width * (4 * self.width + (3 if self.gated else 2) * self.mlp_width)
        merged = self.width * self.merge**2
        merging = tokens * (1 + self.deep) * merged * (merged + self.out_width)
        entry = patches * self.width * 3 * self.temporal_patch * self.patch**2
        attention = 4.0 * self.layers * self.width * patches * patches / max(1, pictures)
        return Work(2.0 * (patches * self.layers * layer + merging + entry), attention)
