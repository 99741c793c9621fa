"""A language model of Qwen's or Llama's kind in transformers: reading a prompt, and speaking token by token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.memory.shapes.values import FLOAT_BYTES, INDEX_BYTES, section, value_bytes
from cosmos_handler.memory.sheet import Work

# Scores of one token in float32 while it is drawn: sorted, as chances, added up, and masked.
_SCORES_OF_A_DRAW = 10


@dataclass(frozen=True)
class Language:
    """normed_heads: whether queries and keys are normed, as in Qwen3. weights_bytes: read again for every token."""

    width: int
    layers: int
    heads: int
    key_heads: int
    head_width: int
    mlp_width: int
    vocabulary: int
    normed_heads: bool
    value_bytes: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dtype: str) -> "Language":
        """By config.json, of one that sees as well or not; what is left out is as in a Qwen2.5-VL-7B."""
        text = section(config, "text_config")
        heads = text.get("num_attention_heads", 28)
        width = text.get("hidden_size", 3584)
        kind = str(text.get("model_type") or config.get("model_type") or config.get("_class_name", ""))
        return cls(
            width=width,
            layers=text.get("num_hidden_layers", 28),
            heads=heads,
            key_heads=text.get("num_key_value_heads") or heads,
            head_width=text.get("head_dim") or width // heads,
            mlp_width=text.get("intermediate_size", 18944),
            vocabulary=text.get("vocab_size", 152064),
            normed_heads=kind.lower().startswith(("qwen3", "cosmos3")),
            value_bytes=value_bytes(dtype),
        )

    @property
    def cache_bytes_per_token(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.key_heads * self.head_width * self.value_bytes

    @property
    def weight_bytes(self) -> int:
        """Of the layers and the output, which are gone through for every token."""
        return int((self._layer_values() * self.layers + self.width * self.vocabulary) * self.value_bytes)

    def read_bytes(self, tokens: int, *, keeps_states: bool = False, scores: int = 1) -> int:
        """The most that reading a prompt has alive beside it, its cache included.

        keeps_states: whether what every layer gives is kept. scores: for how many tokens the next one is scored.
        """
        unit = tokens * self.width * self.value_bytes
        cache = tokens * self.cache_bytes_per_token
        rotations = 2 * tokens * self.head_width * self.value_bytes
        states = (self.layers + 1) * unit if keeps_states else 0
        # The embeddings, and the layer's input under two names.
        around = cache + rotations + 4 * tokens * INDEX_BYTES + (max(states, unit) + unit)
        layer = self._layer_bytes(tokens)
        spoken = scores * self.vocabulary * self.value_bytes + _SCORES_OF_A_DRAW * self.vocabulary * FLOAT_BYTES
        return around + max(layer, 3 * unit + tokens * self.width * FLOAT_BYTES, unit + spoken)

    def read_result_bytes(self, tokens: int) -> int:
        """What is left of reading where the states of all layers, the cache and the scores of all tokens are kept."""
        states = (self.layers + 1) * tokens * self.width * self.value_bytes
        scores = self.vocabulary * self.value_bytes
        return states + tokens * (self.cache_bytes_per_token + scores + 8 * INDEX_BYTES)

    def speak_bytes(self, tokens: int) -> int:
        """The most that a conversation of so many tokens has alive while it grows: a layer's cache is copied then."""
        cache = tokens * self.cache_bytes_per_token
        scores = 2 * _SCORES_OF_A_DRAW * self.vocabulary * FLOAT_BYTES
        return cache + cache // self.layers + scores + self._layer_bytes(1) + tokens * 4 * INDEX_BYTES

    def read_work(self, tokens: int, *, scores: int = 1) -> Work:
        """Operations of reading a prompt."""
        linear = 2.0 * (tokens * self.layers * self._layer_values() + scores * self.width * self.vocabulary)
        # Half of all pairs: no token looks at those after it.
        attention = 2.0 * self.layers * self.heads * self.head_width * tokens * tokens
        return Work(linear, attention, self.weight_bytes)

    def speak_work(self, prompt_tokens: int, new_tokens: int) -> Work:
        """Operations of so many tokens one by one, and the bytes that are read for each of them."""
        pairs = new_tokens * (prompt_tokens + new_tokens / 2)
        linear = 2.0 * new_tokens * (self.layers * self._layer_values() + self.width * self.vocabulary)
        attention = 4.0 * self.layers * self.heads * self.head_width * pairs
        return Work(linear, attention, new_tokens * self.weight_bytes + pairs * self.cache_bytes_per_token)

    def _layer_values(self) -> int:
        inside = self.head_width * (2 * self.heads + 2 * self.key_heads)
        return self.width * (inside + 3 * self.mlp_width)

    def _layer_bytes(self, tokens: int) -> int:
        """The most that one layer adds to its input."""
        unit = tokens * self.width * self.value_bytes
        single = tokens * self.width * FLOAT_BYTES
        query = tokens * self.heads * self.head_width * self.value_bytes
        keys = tokens * self.key_heads * self.head_width * self.value_bytes
        wide = tokens * self.mlp_width * self.value_bytes
        rows = tokens * self.heads * FLOAT_BYTES
        norm = max(2 * single, single + 2 * unit)
        heads_norm = 0
        if self.normed_heads:
            query_single = tokens * self.heads * self.head_width * FLOAT_BYTES
            heads_norm = unit + 2 * keys + query + max(2 * query_single, query_single + 2 * query)
        rotating = unit + query + 2 * keys + 3 * query
        turning = unit + 2 * query + 2 * keys + 4 * keys
        looking = unit + 3 * query + 4 * keys + rows
        thinking = unit + unit + 3 * wide  # beside the sum after attention
        return max(norm, heads_norm, rotating, turning, looking, unit + norm, thinking)
