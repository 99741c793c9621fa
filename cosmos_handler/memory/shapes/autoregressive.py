"""The autoregressive models of Cosmos 1.0: reading the codes that are given, drawing others."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.artifacts.native.autoregressive import COMMON, ROWS_MULTIPLE
from cosmos_handler.memory.shapes.values import FLOAT_BYTES, INDEX_BYTES, value_bytes
from cosmos_handler.memory.sheet import Work

# Slots of the cache come into sight in steps, as `families/autoregressive/generation` has it.
_SIGHT_SLOTS = 1024
# For each code that may follow, while one is drawn: scores in two types, sorted with whose they are, chances, their
# sums, what is kept of them, noise, and what sorting itself takes.
_BYTES_OF_A_DRAW = 64


@dataclass(frozen=True)
class Autoregressive:
    """latent_shape: frames, rows and columns of a whole video's codes. context_width: None where no text is read."""

    width: int
    layers: int
    heads: int
    key_heads: int
    head_width: int
    mlp_width: int
    vocabulary: int
    latent_shape: tuple[int, int, int]
    context_width: int | None
    value_bytes: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dtype: str) -> "Autoregressive":
        """By its configuration; what that leaves out is as in the published 4B."""
        known = {**COMMON, **config}
        frames, rows, columns = known["latent_shape"]
        return cls(
            width=known.get("hidden_size", 4096),
            layers=known.get("num_hidden_layers", 16),
            heads=known["num_attention_heads"],
            key_heads=known["num_key_value_heads"],
            head_width=known["head_dim"],
            mlp_width=known["intermediate_size"],
            vocabulary=known["vocab_size"],
            latent_shape=(frames, rows, columns),
            context_width=known.get("context_width"),
            value_bytes=value_bytes(dtype),
        )

    def tokens(self, code_frames: int) -> int:
        """Of so many frames of codes, with what stands before them."""
        return code_frames * math.prod(self.latent_shape[1:]) + (1 if self.context_width else 0)

    def generate_bytes(self, given_frames: int, code_frames: int, text_tokens: int, *, batch_size: int = 1) -> int:
        """The most that it has alive beside the codes and the text that it is given.

        batch_size: how many videos grow together, after what is given of each was read by itself.
        """
        tokens = self.tokens(code_frames)
        each = self._cache_bytes(tokens, text_tokens) + (tokens + 1) * INDEX_BYTES + self.vocabulary * FLOAT_BYTES
        drawing = batch_size * self.vocabulary * _BYTES_OF_A_DRAW
        return batch_size * each + self._places_bytes + max(
            self._placing_bytes, self._reading_bytes(self.tokens(given_frames), text_tokens), drawing
        )  # fmt: skip

    def generate_work(self, given_frames: int, code_frames: int, text_tokens: int, *, batch_size: int = 1) -> Work:
        """Operations of reading what is given and drawing the rest, and the bytes that are read for every code.

        The weights are read once for a code of every video, a cache for its own.
        """
        given, total = self.tokens(given_frames), self.tokens(code_frames)
        made, seen_text = total - given, text_tokens if self.context_width else 0
        scores = self.width * self.vocabulary
        linear = total * self.layers * self._layer_values + (1 + made) * scores
        if self.context_width:
            linear += text_tokens * self.layers * 2 * self.context_width * self.key_heads * self.head_width
        # Half of all pairs: no code looks at those after it.
        pairs = total * total / 2 + total * seen_text
        weights = (self.layers * self._layer_values + scores) * self.value_bytes
        cached = (self._slots_read(given, total) + made * seen_text) * self._cache_bytes_per_token
        attention = 4.0 * self.layers * self.heads * self.head_width * pairs
        return Work(
            2.0 * linear * batch_size, attention * batch_size, (batch_size + made) * weights + batch_size * cached
        )

    @property
    def _layer_values(self) -> int:
        """Weights of a layer that are gone through for every code."""
        inside = self.head_width * (2 * self.heads + 2 * self.key_heads)
        looks = 2 * self.heads * self.head_width if self.context_width else 0
        return self.width * (inside + looks + 3 * self.mlp_width)

    @property
    def _cache_bytes_per_token(self) -> int:
        return 2 * self.layers * self.key_heads * self.head_width * self.value_bytes

    @property
    def _slots(self) -> int:
        return -(-self.tokens(self.latent_shape[0]) // ROWS_MULTIPLE) * ROWS_MULTIPLE

    def _sight(self, tokens: int) -> int:
        """How many slots are read where there are so many tokens."""
        return min(-(-tokens // _SIGHT_SLOTS) * _SIGHT_SLOTS, self._slots)

    def _slots_read(self, given: int, total: int) -> int:
        """Over all steps between so many tokens and so many: sight by sight, as plans are made while requests wait."""
        read, number = 0, given + 1
        while number < total:
            sight = self._sight(number)
            behind = min(total, sight + 1)
            read += (behind - number) * sight
            number = behind
        return read

    def _cache_bytes(self, tokens: int, text_tokens: int) -> int:
        slots = self._sight(tokens) + (text_tokens if self.context_width else 0)
        return slots * self._cache_bytes_per_token

    @property
    def _places_bytes(self) -> int:
        """Sines and cosines of all slots, and what is added to every layer's input."""
        added = self.width if self.context_width else 0
        return self._slots * (2 * self.head_width + added) * self.value_bytes

    @property
    def _placing_bytes(self) -> int:
        """While those are made, in float32 and on the host, which may be the device."""
        added = 2 * self.width * self.value_bytes if self.context_width else 0
        return self._slots * (3 * self.head_width * FLOAT_BYTES + 6 * INDEX_BYTES + added)

    def _reading_bytes(self, tokens: int, text_tokens: int) -> int:
        """What the first forward has alive beside the cache."""
        unit = tokens * self.width * self.value_bytes
        single = tokens * self.width * FLOAT_BYTES
        query = tokens * self.heads * self.head_width * self.value_bytes
        keys = tokens * self.key_heads * self.head_width * self.value_bytes
        wide = tokens * self.mlp_width * self.value_bytes
        rows = tokens * self.heads * FLOAT_BYTES
        turned = 2 * tokens * self.head_width * self.value_bytes
        text = text_tokens * (self.context_width or 0) * self.value_bytes
        # The layer's input with the caller, and what it becomes; for those that read text, what is added to it.
        around = (3 if self.context_width else 2) * unit + turned + text + 3 * tokens * INDEX_BYTES
        norming = max(2 * single, single + 2 * unit)
        heads_norming = unit + 2 * keys + query + max(2, 4 // self.value_bytes) * 2 * query
        rotating = unit + 2 * keys + 5 * query
        looking = unit + 2 * keys + 4 * query + rows
        widening = 2 * unit + 3 * wide
        return around + max(norming, heads_norming, rotating, looking, widening)
