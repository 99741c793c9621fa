"""The network: a decoder of Llama's kind with three-dimensional positions, normed queries and keys, and, for the models
that read text, attention to the prompt in every layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu
from transformers import PreTrainedModel

from cosmos_handler.families.autoregressive.cache import Cache, LayerCache
from cosmos_handler.families.autoregressive.config import CosmosAutoregressiveConfig
from cosmos_handler.families.autoregressive.places import Places


@dataclass(frozen=True)
class Turn:
    """What all layers of one forward have in common.

    places: of its tokens. positions: [B], where it is one token of each row; None where it is the first tokens of all.
    mask: [B, 1, 1, S], 0 for the slots that those see and minus infinity for the others. text: [B, M, C], the prompt's
    embeddings, the first time alone.
    """

    places: Places
    positions: torch.Tensor | None
    mask: torch.Tensor | None
    text: torch.Tensor | None


class CosmosAutoregressive(PreTrainedModel):  # type: ignore[misc]
    """Tokens in, scores of the codes that may follow out."""

    config_class = CosmosAutoregressiveConfig
    base_model_prefix = ""
    _no_split_modules = ("Layer",)

    def __init__(self, config: CosmosAutoregressiveConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.embedding_rows, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "CosmosAutoregressive":
        """An empty one, as the libraries' classes build theirs."""
        return cls(CosmosAutoregressiveConfig(**config))

    def forward(
        self,
        tokens: torch.Tensor,
        cache: Cache,
        positions: torch.Tensor | None = None,
        *,
        text: torch.Tensor | None = None,
        logits_to_keep: int = 0,
    ) -> torch.Tensor:
        """Scores [B, N, V] of what follows each token; of the last so many alone where logits_to_keep is not 0.

        tokens: int64 [B, N]: the first N of every row; or with positions [B], one of each row, which sees those before
        it in the cache. text: float [B, M, C], with the first tokens; the cache keeps what is made of it.
        """
        if (text is not None) is not (self.config.reads_text and positions is None):
            raise ValueError("text comes with the first tokens of a model that reads it, and at no other time")
        index = torch.arange(tokens.shape[1], device=tokens.device)[None] if positions is None else positions[:, None]
        hidden = self.embed_tokens(tokens)
        mask = None if positions is None else mask_of(positions, cache.keys.shape[3], hidden.dtype)
        turn = Turn(cache.places.at(index), positions, mask, None if text is None else text.to(hidden.dtype))
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden, turn, cache.layer(number))
        scores: torch.Tensor = self.lm_head(self.norm(hidden[:, -logits_to_keep:]))
        return scores


class Layer(nn.Module):
    """One of the equal layers."""

    def __init__(self, config: CosmosAutoregressiveConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.rms_norm_eps
        self.self_norm = RMSNorm(width, eps)
        self.self_attn = SelfAttention(config, width)
        self.reads_text = config.reads_text
        if config.context_width is not None:
            self.cross_norm = RMSNorm(width, eps)
            self.cross_attn = CrossAttention(config, config.context_width)
        self.mlp_norm = RMSNorm(width, eps)
        self.mlp = MLP(width, config.intermediate_size)

    def forward(self, hidden: torch.Tensor, turn: Turn, cache: LayerCache) -> torch.Tensor:
        """[B, N, W] → [B, N, W]."""
        if turn.places.added is not None:  # before every layer, not before the first one alone
            hidden = hidden + turn.places.added
        hidden = hidden + self.self_attn(self.self_norm(hidden), turn, cache)
        if self.reads_text:
            hidden = hidden + self.cross_attn(self.cross_norm(hidden), turn, cache)
        return hidden + self.mlp(self.mlp_norm(hidden))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """What both kinds have: several query heads to each head of keys and values, queries and keys normed by head."""

    def __init__(self, config: CosmosAutoregressiveConfig, source_width: int) -> None:
        super().__init__()
        width, head = config.hidden_size, config.head_dim
        queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
        self.head_dim = head
        self.q_proj = nn.Linear(width, queries, bias=False)
        self.k_proj = nn.Linear(source_width, keys, bias=False)
        self.v_proj = nn.Linear(source_width, keys, bias=False)
        self.o_proj = nn.Linear(queries, width, bias=False)
        self.q_norm = RMSNorm(head, config.rms_norm_eps)
        self.k_norm = RMSNorm(head, config.rms_norm_eps)

    def queries(self, hidden: torch.Tensor) -> torch.Tensor:
        """[B, N, W] → [B, H, N, D]."""
        normed: torch.Tensor = self.q_norm(self._by_heads(self.q_proj(hidden)))
        return normed

    def keys_and_values(self, source: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, N, C] → two of [B, K, N, D]."""
        return self.k_norm(self._by_heads(self.k_proj(source))), self._by_heads(self.v_proj(source))

    def result(self, attended: torch.Tensor) -> torch.Tensor:
        """[B, H, N, D] → [B, N, W]."""
        projected: torch.Tensor = self.o_proj(attended.transpose(1, 2).flatten(2))
        return projected

    def _by_heads(self, flat: torch.Tensor) -> torch.Tensor:
        return flat.view(*flat.shape[:2], -1, self.head_dim).transpose(1, 2)


class SelfAttention(Attention):
    """To all tokens so far."""

    def forward(self, hidden: torch.Tensor, turn: Turn, cache: LayerCache) -> torch.Tensor:
        """[B, N, W] → [B, N, W]; the cache keeps the keys and values."""
        keys, values = self.keys_and_values(hidden)
        queries, keys = rotated(self.queries(hidden), turn.places), rotated(keys, turn.places)
        if turn.positions is None:
            cache.begin(keys, values)
            attended = scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
        else:
            cache.put(turn.positions, keys, values)
            attended = look(queries, cache.keys, cache.values, turn.mask)
        return self.result(attended)


class CrossAttention(Attention):
    """To the whole prompt, its padding included, as in the training."""

    def forward(self, hidden: torch.Tensor, turn: Turn, cache: LayerCache) -> torch.Tensor:
        """[B, N, W] → [B, N, W]; the cache keeps the prompt's keys and values when they come."""
        if cache.text_keys is None or cache.text_values is None:
            raise ValueError("the cache has no room for text")
        if turn.text is not None:
            keys, values = self.keys_and_values(turn.text)
            cache.text_keys.copy_(keys)
            cache.text_values.copy_(values)
        return self.result(look(self.queries(hidden), cache.text_keys, cache.text_values, None))


class MLP(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[B, N, W] → [B, N, W]."""
        projected: torch.Tensor = self.down_proj(silu(self.gate_proj(hidden)) * self.up_proj(hidden))
        return projected


class RMSNorm(nn.Module):
    """Normed in float32 and rounded before the gain."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """[…, W] → […, W]."""
        return rms_norm(values.float(), self.weight.shape, eps=self.eps).to(values.dtype) * self.weight


def rotated(heads: torch.Tensor, places: Places) -> torch.Tensor:
    """Queries or keys [B, H, N, D], each channel of the first half turned with its like in the second half."""
    first, second = heads.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return heads * places.cosines[:, None] + turned * places.sines[:, None]


def mask_of(positions: torch.Tensor, slots: int, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the scores of each slot for tokens at these positions [B], once for all layers: [B, 1, 1, S]."""
    unseen = torch.arange(slots, device=positions.device) > positions[:, None]
    return torch.zeros(unseen.shape, dtype=dtype, device=positions.device).masked_fill_(unseen, -torch.inf)[
        :, None, None
    ]


def look(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Attention [B, H, N, D] of queries that all see the same. mask: [B, 1, 1, S], what is added to the scores."""
    return (
        look_by_heads(queries, keys, values, mask) if queries.is_cuda else look_by_groups(queries, keys, values, mask)
    )


def look_by_groups(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """The queries to one head of keys are a row of queries to it: keys and values are read once."""
    batch, key_heads = keys.shape[:2]
    grouped = queries.reshape(batch, key_heads, -1, queries.shape[-1])
    return scaled_dot_product_attention(grouped, keys, values, attn_mask=mask).view(queries.shape)


def look_by_heads(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Each head of keys stands there once for every head of queries, without being copied.

    On a GPU one processor works at one head, and few heads would leave most of them idle; those that read the same
    read it at the same time, out of the device's own cache.
    """
    batch, key_heads, slots, channels = keys.shape
    per_head = queries.shape[1] // key_heads
    # A head of keys is a row of the batch, as only an axis of its own can stand for many without a copy.
    rows = batch * key_heads
    one_each = queries.reshape(rows, per_head, -1, channels)
    their_keys, their_values = (
        each.view(rows, 1, slots, channels).expand(-1, per_head, -1, -1) for each in (keys, values)
    )
    by_row = None if mask is None else mask.expand(-1, key_heads, -1, -1).reshape(rows, 1, 1, slots)
    return scaled_dot_product_attention(one_each, their_keys, their_values, attn_mask=by_row).view(queries.shape)
