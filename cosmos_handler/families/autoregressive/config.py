"""The configuration of an autoregressive Cosmos model, as transformers stores it in config.json."""

import math
from typing import Any

from transformers import PreTrainedConfig

from cosmos_handler.artifacts.native.autoregressive import COMMON, ROWS_MULTIPLE, embedding_rows


class CosmosAutoregressiveConfig(PreTrainedConfig):  # type: ignore[misc]
    """Without arguments, the published 4B; `PUBLISHED` in artifacts.native.autoregressive holds all four.

    latent_shape: frames, rows and columns of the codes of a whole video. yarn: None, or scale, beta_fast, beta_slow and
    original_latent_shape. context_width: of the text's embeddings, for those that read text; these also have positions
    beside their tokens, and one special token, with which every video begins.
    """

    model_type = "cosmos_autoregressive"

    hidden_size: int = 4096
    num_hidden_layers: int = 16
    intermediate_size: int = COMMON["intermediate_size"]
    num_attention_heads: int = COMMON["num_attention_heads"]
    num_key_value_heads: int = COMMON["num_key_value_heads"]
    head_dim: int = COMMON["head_dim"]
    vocab_size: int = COMMON["vocab_size"]
    rms_norm_eps: float = COMMON["rms_norm_eps"]
    rope_theta: float = COMMON["rope_theta"]
    latent_shape: list[int] | tuple[int, ...] = tuple(COMMON["latent_shape"])
    yarn: dict[str, Any] | None = None
    context_width: int | None = None
    tie_word_embeddings: bool = False

    @property
    def reads_text(self) -> bool:
        """Whether a prompt is read, by attention in every layer."""
        return self.context_width is not None

    @property
    def begin_tokens(self) -> tuple[int, ...]:
        """What stands before the first code: the special token for the begin of a video, or nothing."""
        return (self.vocab_size,) if self.reads_text else ()

    @property
    def embedding_rows(self) -> int:
        """Rows of the embedding; the output has one for each code alone."""
        return embedding_rows(self.vocab_size, reads_text=self.reads_text)

    @property
    def num_tokens(self) -> int:
        """Of a whole video, what stands before it included."""
        return len(self.begin_tokens) + math.prod(self.latent_shape)

    @property
    def num_slots(self) -> int:
        """Places in the cache: the tokens of a whole video, filled up."""
        return -(-self.num_tokens // ROWS_MULTIPLE) * ROWS_MULTIPLE
