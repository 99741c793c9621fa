"""The diffusion decoder of Cosmos 1.0 and Predict1, which makes latents of CV8x8x8 out of tokens of DV8x16x16.

Published as model.pt, and beside it aux_vars.pt: the embeddings of a prompt that suits every video.
"""

from collections.abc import Mapping
from typing import Any

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native.kinds import kind_of
from cosmos_handler.artifacts.native.sheet import (
    Line,
    Weights,
    all_divide,
    check_names,
    lines_of,
    measured,
    num_blocks,
    part_of,
    weights_in,
)

PART = "diffusion_decoder"
FILE, AUX_FILE = "model.pt", "aux_vars.pt"
TEXT, TEXT_MASK = "context", "context_mask"  # in aux_vars.pt

_TITLE = "the diffusion decoder"
_PREFIXES = ("net.",)
# Buffers that follow from the configuration, and what is for the training alone.
_BESIDE = ("_extra_state", "net.pos_embedder.", "logvar.", "accum_")

# What shapes do not tell.
_PATCH_SIZE = [1, 2, 2]
_PATCH_VALUES = 4
_MAX_SIZE = [128, 240, 240]
_ROPE_SCALE = [1.0, 1.5, 1.5]

_BASE = (
    ("token_embedder.weight", "code_embed.weight", "codes code"),
    ("x_embedder.proj.1.weight", "patch_embed.proj.weight", "width patch_in"),
    ("t_embedder.1.linear_1.weight", "time_embed.t_embedder.linear_1.weight", "width width"),
    ("t_embedder.1.linear_2.weight", "time_embed.t_embedder.linear_2.weight", "3*width width"),
    ("affline_norm.weight", "time_embed.norm.weight", "width"),
    ("final_layer.adaLN_modulation.1.weight", "norm_out.linear_1.weight", "adaln width"),
    ("final_layer.adaLN_modulation.2.weight", "norm_out.linear_2.weight", "2*width adaln"),
    ("final_layer.linear.weight", "proj_out.weight", "patch_out width"),
)
_BLOCK = (
    *(
        line
        for number, attention, keys in ((0, "attn1", "width"), (1, "attn2", "text"))
        for line in (
            (f"blocks.{number}.block.attn.to_q.0.weight", f"{attention}.to_q.weight", "width width"),
            (f"blocks.{number}.block.attn.to_q.1.weight", f"{attention}.norm_q.weight", "head"),
            (f"blocks.{number}.block.attn.to_k.0.weight", f"{attention}.to_k.weight", f"width {keys}"),
            (f"blocks.{number}.block.attn.to_k.1.weight", f"{attention}.norm_k.weight", "head"),
            (f"blocks.{number}.block.attn.to_v.0.weight", f"{attention}.to_v.weight", f"width {keys}"),
            (f"blocks.{number}.block.attn.to_out.0.weight", f"{attention}.to_out.0.weight", "width width"),
        )
    ),
    ("blocks.2.block.layer1.weight", "ff.net.0.proj.weight", "mlp width"),
    ("blocks.2.block.layer2.weight", "ff.net.2.weight", "width mlp"),
    *(
        line
        for number in range(3)
        for line in (
            (f"blocks.{number}.adaLN_modulation.1.weight", f"norm{number + 1}.linear_1.weight", "adaln width"),
            (f"blocks.{number}.adaLN_modulation.2.weight", f"norm{number + 1}.linear_2.weight", "3*width adaln"),
        )
    ),
)

# Where each size is read: the tensor and the axis.
_MEASURES = {
    "codes": ("token_embedder.weight", 0),
    "code": ("token_embedder.weight", 1),
    "width": ("x_embedder.proj.1.weight", 0),
    "patch_in": ("x_embedder.proj.1.weight", 1),
    "patch_out": ("final_layer.linear.weight", 0),
    "text": ("blocks.block0.blocks.1.block.attn.to_k.0.weight", 1),
    "head": ("blocks.block0.blocks.0.block.attn.to_q.1.weight", 0),
    "mlp": ("blocks.block0.blocks.2.block.layer1.weight", 0),
    "adaln": ("blocks.block0.blocks.0.adaLN_modulation.1.weight", 0),
}


def examine_diffusion_decoder(look: Inspection, file: str) -> Part | None:
    """The part that a model.pt makes; None, and every fault noted, where it is not there or not whole.

    The part's config is that of families.autoregressive.diffusion_decoder.DiffusionDecoder: of diffusers'
    CosmosTransformer3DModel, and num_codes and code_width besides.
    """
    weights = weights_in(look, file, prefixes=_PREFIXES, beside=_BESIDE)
    if weights is None:
        return None
    if not any(name.startswith(("token_embedder.", "blocks.block0.")) for name in weights.tensors):
        look.fault(f"{file} is not {_TITLE} of an autoregressive Cosmos, but {kind_of(weights.tensors).title}")
        return None
    faults_before = len(look.faults)
    sizes = _sizes(look, weights)
    if sizes is None:
        return None
    lines = _sheet(sizes)
    check_names(look, weights, lines, what=_TITLE)
    if len(look.faults) > faults_before:
        return None
    return part_of(look, PART, weights, lines, config=_config(sizes))


def examine_aux_vars(look: Inspection, file: str, *, text_width: int) -> None:
    """Notes what is wrong with an aux_vars.pt. text_width: the decoder's text_embed_dim."""
    weights = weights_in(look, file, prefixes=("",), beside=())
    if weights is None:
        return
    text, mask = weights.tensors.get(TEXT), weights.tensors.get(TEXT_MASK)
    if text is None:
        look.fault(f"{file} lacks {TEXT}: the embeddings of a prompt for videos without one")
        return
    shape = text.shape
    if len(shape) != 3 or shape[0] != 1 or shape[1] < 1 or shape[2] != text_width:
        look.fault(f"{file}: {TEXT} is {list(shape)}, not 1 x tokens x {text_width}")
    if text.dtype not in ("bfloat16", "float16", "float32"):
        look.fault(f"{file}: {TEXT} is stored as {text.dtype}, which embeddings are not")
    if mask is not None and mask.shape != shape[:2]:
        look.fault(f"{file}: {TEXT_MASK} is {list(mask.shape)}, not {list(shape[:2])}")


def _sizes(look: Inspection, weights: Weights) -> dict[str, int] | None:
    """The sizes of the network in a file; None, and faults noted, where they cannot be read or do not fit."""
    sizes = measured(look, weights, _MEASURES)
    if sizes is None:
        return None
    divisors = {"width": sizes["head"], "patch_in": _PATCH_VALUES, "patch_out": _PATCH_VALUES}
    if not all_divide(look, weights, sizes, divisors):
        return None
    channels = sizes["patch_out"] // _PATCH_VALUES + sizes["code"] + 1
    if sizes["patch_in"] != _PATCH_VALUES * channels:
        look.fault(
            f"{weights.file}: x_embedder takes {sizes['patch_in'] // _PATCH_VALUES} channels, not {channels}: the "
            "latents, the embedding of their codes and the padding mask"
        )
        return None
    return {**sizes, "blocks": num_blocks(weights, "blocks.block")}


def _sheet(sizes: Mapping[str, int]) -> list[Line]:
    lines = lines_of(_BASE, sizes)
    for number in range(sizes["blocks"]):
        lines += lines_of(_BLOCK, sizes, theirs=f"blocks.block{number}.", ours=f"transformer_blocks.{number}.")
    return lines


def _config(sizes: Mapping[str, int]) -> dict[str, Any]:
    return {
        "num_codes": sizes["codes"],
        "code_width": sizes["code"],
        "in_channels": sizes["patch_in"] // _PATCH_VALUES - 1,  # less the padding mask
        "out_channels": sizes["patch_out"] // _PATCH_VALUES,
        "num_attention_heads": sizes["width"] // sizes["head"],
        "attention_head_dim": sizes["head"],
        "num_layers": sizes["blocks"],
        "mlp_ratio": sizes["mlp"] / sizes["width"],
        "text_embed_dim": sizes["text"],
        "adaln_lora_dim": sizes["adaln"],
        "max_size": _MAX_SIZE,
        "patch_size": _PATCH_SIZE,
        "rope_scale": _ROPE_SCALE,
        "concat_padding_mask": True,
        "extra_pos_embed_type": None,
    }
