"""Tells by the names of its tensors which model a file in NVIDIA's own form is."""

from collections.abc import Iterable
from dataclasses import dataclass

from cosmos_handler.artifacts.checkpoint import Family
from cosmos_handler.artifacts.native.transformer import PREFIXES

_PREFIXES = (*PREFIXES, "model.")
_SELF_ATTENTION = "blocks.0.self_attn.q_proj.weight"  # of every transformer since Predict2
_TEXT_PROJECTION = "crossattn_proj.0.weight"  # since 2.5, whose text encoder gives the states of all its layers

# A piece of a tensor's name → what only such models have. The first that occurs decides.
_MARKS = (
    ("view_embedding", "a multiview Cosmos Predict2 or 2.5"),
    ("action_embedder", "an action-conditioned Cosmos Predict2 or 2.5"),
    ("control_blocks_0.", "a Cosmos Transfer2.5 with several control branches in one file"),
    ("token_embedder.weight", "the diffusion decoder of an autoregressive Cosmos 1.0 or Predict1"),
    ("blocks.block0.", "Cosmos 1.0 or Predict1"),
    ("encoder.downsamples.0.residual.0.gamma", "the VAE of a Cosmos model (tokenizer.pth) without its transformer"),
)
_AUTOREGRESSIVE = ("tok_embeddings.", "layers.0.attention.")
_QUERY_NORM = "attention.q_norm.weight"  # which models of words in the same form lack


@dataclass(frozen=True)
class Kind:
    """family: None for a model that is not served. title: what it is."""

    family: Family | None
    title: str


def kind_of(names: Iterable[str]) -> Kind:
    """Which model has tensors of these names."""
    plain = {_without_prefix(name) for name in names}
    for mark, title in _MARKS:
        if any(mark in name for name in plain):
            return Kind(None, title)
    if any(name.startswith(_AUTOREGRESSIVE) for name in plain):
        if any("attention.wq" in name for name in plain) and not any(name.endswith(_QUERY_NORM) for name in plain):
            return Kind(None, "a language model, such as the prompt upsampler of Cosmos 1.0 or Predict1")
        return Kind("autoregressive", "Cosmos Autoregressive")
    if _SELF_ATTENTION in plain and _TEXT_PROJECTION in plain:
        if any(name.startswith("control_blocks.0.") for name in plain):
            return Kind("transfer2.5", "Cosmos Transfer2.5")
        return Kind("predict2.5", "Cosmos Predict2.5")
    if _SELF_ATTENTION in plain:
        return Kind(None, "Cosmos Predict2")
    return Kind(None, f"a model of unknown kind (with tensors such as {min(plain)[:120]})")


def _without_prefix(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)
