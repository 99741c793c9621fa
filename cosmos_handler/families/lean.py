"""The Cosmos transformers with less memory: the library's operations on the same numbers, in place where it copies.

The pipelines of 2.5 give every latent frame a time of its own, which the library repeats for each of its tokens, three
times as wide as a token; and what it computes of that it keeps through the attention and the feed-forward that follow.
Together with the copy that the activation of the feed-forward makes, and with the rotation of all heads at once in
float32, that is half of what a forward takes.
No result changes, not in its last bit: each matrix product has the operands that it had, and each sum and product of
elements too.
"""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from diffusers.models.activations import GELU
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_cosmos import (
    CosmosAdaLayerNorm,
    CosmosAdaLayerNormZero,
    CosmosAttnProcessor2_0,
    CosmosEmbedding,
)

# Of the heads that are rotated together, in float32: 128 MiB.
_NUMBERS_AT_ONCE = 2**25


def make_lean(transformer: torch.nn.Module) -> None:
    """Change a transformer, or a control branch, for good. It is for inference alone: what it gives has no gradient."""
    forwards: dict[type, Callable[..., Any]] = {
        CosmosEmbedding: _embed,
        CosmosAdaLayerNormZero: _modulate_and_gate,
        CosmosAdaLayerNorm: _modulate,
        GELU: _activate,
    }
    module: Any
    for module in transformer.modules():
        forward = forwards.get(type(module))
        if forward is not None:
            module.forward = MethodType(forward, module)
        if isinstance(getattr(module, "processor", None), CosmosAttnProcessor2_0):
            module.processor = _Rotating(module.processor)
            for norm in (module.norm_q, module.norm_k):
                norm.forward = MethodType(_norm_and_rotate, norm)


class _PerFrame:
    """Numbers of each latent frame, where the library would repeat them for each of its tokens: [B, T, 1, C].

    It goes through the library's reshaping as a tensor would, and is spread only in the sum that it is for.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values

    def view(self, batch: int, frames: int, _rows: int, _columns: int, _width: int) -> "_PerFrame":
        """As the library asks for it: [B, T, 1, 1, C]."""
        return _PerFrame(self._values.view(batch, frames, 1, -1))

    def expand(self, *_: int) -> "_PerFrame":
        """To the size of the latents; not yet."""
        return self

    def flatten(self, *_: int) -> "_PerFrame":
        """To tokens; not yet."""
        return self

    def added_to(self, tokens: torch.Tensor) -> torch.Tensor:
        """The sum with numbers of every token [B, N, W], in place; of the first W numbers of each frame."""
        batch, _, width = tokens.shape
        tokens.view(batch, self._values.shape[1], -1, width).add_(self._values[..., :width])
        return tokens


class _Rotating:
    """The library's attention, but for the rotation, which the norms of queries and keys do some heads at a time."""

    def __init__(self, processor: CosmosAttnProcessor2_0) -> None:
        self._processor = processor

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: Any = None,
    ) -> Any:
        attn.norm_q.rotation = attn.norm_k.rotation = image_rotary_emb
        try:
            return self._processor(attn, hidden_states, encoder_hidden_states, attention_mask)
        finally:
            attn.norm_q.rotation = attn.norm_k.rotation = None


def _norm_and_rotate(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    """[B, H, N, C] → the same, normed and, where there is a rotation, rotated."""
    normed: torch.Tensor = type(self).forward(self, hidden_states)
    if self.rotation is not None:
        for heads in torch.split(normed, max(1, _NUMBERS_AT_ONCE // normed[:, :1].numel()), dim=1):
            heads.copy_(apply_rotary_emb(heads, self.rotation, use_real=True, use_real_unbind_dim=-2))
    return normed


def _embed(self: Any, hidden_states: torch.Tensor, timestep: torch.Tensor) -> tuple[Any, torch.Tensor]:
    temb, embedded_timestep = type(self).forward(self, hidden_states, timestep)
    has_times_of_frames = timestep.numel() > hidden_states.shape[0]
    return (_PerFrame(temb) if has_times_of_frames else temb), embedded_timestep


def _modulation(norm: Any, embedded_timestep: torch.Tensor, temb: Any) -> torch.Tensor:
    """Shift, scale and, where it has one, gate beside each other: [B, N, 2 or 3 C], or [B, …] for a single time."""
    made: torch.Tensor = norm.linear_2(norm.linear_1(norm.activation(embedded_timestep)))
    if temb is None:
        return made
    if isinstance(temb, _PerFrame):
        return temb.added_to(made)
    return made.add_(temb[..., : made.shape[-1]])


def _modulated(norm: Any, hidden_states: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    normed: torch.Tensor = norm.norm(hidden_states)
    return normed.mul_(1 + scale).add_(shift)


def _modulate_and_gate(
    self: Any, hidden_states: torch.Tensor, embedded_timestep: torch.Tensor, temb: Any = None
) -> tuple[torch.Tensor, torch.Tensor]:
    modulation = _modulation(self, embedded_timestep, temb)
    shift, scale, gate = modulation.chunk(3, dim=-1)
    if modulation.ndim == 2:
        shift, scale, gate = (each.unsqueeze(1) for each in (shift, scale, gate))
    # A copy of its own, so that shift and scale are given back.
    return _modulated(self, hidden_states, shift, scale), gate.clone()


def _modulate(
    self: Any, hidden_states: torch.Tensor, embedded_timestep: torch.Tensor, temb: Any = None
) -> torch.Tensor:
    modulation = _modulation(self, embedded_timestep, temb)
    shift, scale = modulation.chunk(2, dim=-1)
    if modulation.ndim == 2:
        shift, scale = (each.unsqueeze(1) for each in (shift, scale))
    return _modulated(self, hidden_states, shift, scale)


def _activate(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    widened: torch.Tensor = self.proj(hidden_states)
    return torch.ops.aten.gelu_(widened, approximate=self.approximate)  # type: ignore[no-any-return]
