"""Finds an autoregressive model of Cosmos 1.0 or Predict1 in NVIDIA's own form: model.pt, and config.json beside it.

The sizes are those of the tensors. What tensors do not tell (where positions lie, YaRN) is NVIDIA's, by the sizes of
the four published models; config.json says it for models of other sizes, and may say otherwise for these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.inspection import Inspection, joined
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
from cosmos_handler.artifacts.native.torch_file import read_torch_file
from cosmos_handler.errors import CheckpointError

FILE = "model.pt"
CONFIG_FILE = "config.json"
PART = "ar_model"
TITLE = "Cosmos Autoregressive"

_PREFIXES = ("model.",)
_BESIDE = ("_extra_state",)  # of TransformerEngine's layers

ROWS_MULTIPLE = 64  # to which the rows of the embedding are filled up where there are special tokens
_ORIGINAL_SHAPE = [3, 40, 64]

YARN: Mapping[str, Any] = {"scale": 2, "beta_fast": 4, "beta_slow": 1, "original_latent_shape": _ORIGINAL_SHAPE}
COMMON: Mapping[str, Any] = {
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 64000,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "latent_shape": [5, 40, 64],  # of 33 frames at 1024 x 640, each token 8 frames of 16 x 16 pixels
}
_SMALL: Mapping[str, Any] = {**COMMON, "hidden_size": 4096, "num_hidden_layers": 16, "yarn": None}
_LARGE: Mapping[str, Any] = {**COMMON, "hidden_size": 5120, "num_hidden_layers": 40, "yarn": YARN}
# As the configurations of the class that runs them. context_width: of the prompt's embeddings.
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "4B": {**_SMALL, "context_width": None},
    "5B-Video2World": {**_SMALL, "context_width": 1024},
    "12B": {**_LARGE, "context_width": None},
    "13B-Video2World": {**_LARGE, "context_width": 1024},
}

_BASE = (
    ("tok_embeddings.weight", "embed_tokens.weight", "rows width"),
    ("norm.weight", "norm.weight", "width"),
    ("output.weight", "lm_head.weight", "vocabulary width"),
)
_LAYER = (
    ("attention_norm.weight", "self_norm.weight", "width"),
    ("attention.wq.weight", "self_attn.q_proj.weight", "queries width"),
    ("attention.wk.weight", "self_attn.k_proj.weight", "keys width"),
    ("attention.wv.weight", "self_attn.v_proj.weight", "keys width"),
    ("attention.wo.weight", "self_attn.o_proj.weight", "width queries"),
    ("attention.q_norm.weight", "self_attn.q_norm.weight", "head"),
    ("attention.k_norm.weight", "self_attn.k_norm.weight", "head"),
    ("ffn_norm.weight", "mlp_norm.weight", "width"),
    ("feed_forward.w1.weight", "mlp.gate_proj.weight", "mlp width"),
    ("feed_forward.w2.weight", "mlp.down_proj.weight", "width mlp"),
    ("feed_forward.w3.weight", "mlp.up_proj.weight", "mlp width"),
)
_TEXT_LAYER = (
    ("cross_attention_norm.weight", "cross_norm.weight", "width"),
    ("cross_attention.wq.weight", "cross_attn.q_proj.weight", "queries width"),
    ("cross_attention.wk.weight", "cross_attn.k_proj.weight", "keys context"),
    ("cross_attention.wv.weight", "cross_attn.v_proj.weight", "keys context"),
    ("cross_attention.wo.weight", "cross_attn.o_proj.weight", "width queries"),
    ("cross_attention.q_norm.weight", "cross_attn.q_norm.weight", "head"),
    ("cross_attention.k_norm.weight", "cross_attn.k_norm.weight", "head"),
)

# Where each size is read: the tensor and the axis.
_MEASURES = {
    "width": ("norm.weight", 0),
    "vocabulary": ("output.weight", 0),
    "queries": ("layers.0.attention.wq.weight", 0),
    "keys": ("layers.0.attention.wk.weight", 0),
    "head": ("layers.0.attention.q_norm.weight", 0),
    "mlp": ("layers.0.feed_forward.w1.weight", 0),
}
_TEXT_MEASURES = {"context": ("layers.0.cross_attention.wk.weight", 1)}

# Sizes under NVIDIA's names in config.json, and under ours.
_STATED_SIZES = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "ffn_hidden_size": "intermediate_size",
}
_STATED = {"norm_eps": "rms_norm_eps", "rope_theta": "rope_theta", "video_latent_shape": "latent_shape"}
_STATED_YARN = {
    "yarn_scale": "scale",
    "yarn_beta_fast": "beta_fast",
    "yarn_beta_slow": "beta_slow",
    "original_latent_shape": "original_latent_shape",
}


@dataclass(frozen=True)
class NativeModel:
    """A model in a folder. path: absolute."""

    path: str
    part: Part


def find_model(folder: Path) -> NativeModel:
    """The model in a folder with model.pt. Raises CheckpointError with all that is missing, strange or misshapen."""
    look = Inspection(folder)
    part = examine_model(look)
    if part is None or look.faults:
        faults = "".join(f"\n  - {fault}" for fault in look.faults)
        raise CheckpointError(f"{folder} is not a complete {TITLE} checkpoint:{faults}")
    return NativeModel(str(folder.resolve()), part)


def examine_model(look: Inspection, file: str = FILE) -> Part | None:
    """The model of a file and the config.json beside it; None, and faults noted, where it is not there or not whole."""
    weights = weights_in(look, file, prefixes=_PREFIXES, beside=_BESIDE)
    if weights is None:
        return None
    if not any(name.startswith(("tok_embeddings.", "layers.0.attention.")) for name in weights.tensors):
        look.fault(f"{file} is no {TITLE}, but {kind_of(weights.tensors).title}")
        return None
    faults_before = len(look.faults)
    sizes = _sizes(look, weights)
    if sizes is None:
        return None
    lines = _sheet(sizes)
    check_names(look, weights, lines, what=TITLE)
    config = _config(look, file, sizes)
    if config is None or len(look.faults) > faults_before:
        return None
    return part_of(look, PART, weights, lines, config=config)


def embedding_rows(vocabulary: int, *, reads_text: bool) -> int:
    """Rows of the embedding: one for every code; where text is read, one for the begin of a video, and padding."""
    if not reads_text:
        return vocabulary
    return (vocabulary // ROWS_MULTIPLE + 1) * ROWS_MULTIPLE


def our_names(layers: int, *, reads_text: bool) -> dict[str, str]:
    """For each tensor of NVIDIA's, without the prefix, the name that it has here."""
    return {theirs: ours for theirs, ours, _ in _rows(layers, reads_text=reads_text)}


def _sizes(look: Inspection, weights: Weights) -> dict[str, int] | None:
    """The sizes of the network in a file; None, and faults noted, where they cannot be read."""
    measures = _MEASURES | (_TEXT_MEASURES if any(".cross_attention" in name for name in weights.tensors) else {})
    sizes = measured(look, weights, measures)
    if sizes is None:
        return None
    sizes["layers"] = num_blocks(weights, "layers.")
    if not all_divide(look, weights, sizes, {"queries": sizes["keys"], "keys": sizes["head"]}):
        return None
    sizes["rows"] = embedding_rows(sizes["vocabulary"], reads_text="context" in sizes)
    return sizes


def our_sheet(config: Mapping[str, Any]) -> list[Line]:
    """Every tensor of the class that runs them, under its own names, for one of its configurations."""
    reads_text = config["context_width"] is not None
    sizes = {
        "width": config["hidden_size"],
        "vocabulary": config["vocab_size"],
        "rows": embedding_rows(config["vocab_size"], reads_text=reads_text),
        "queries": config["num_attention_heads"] * config["head_dim"],
        "keys": config["num_key_value_heads"] * config["head_dim"],
        "head": config["head_dim"],
        "mlp": config["intermediate_size"],
        **({"context": config["context_width"]} if reads_text else {}),
        "layers": config["num_hidden_layers"],
    }
    return [replace(line, theirs=line.ours) for line in _sheet(sizes)]


def reads_text(look: Inspection, file: str) -> bool:
    """Whether the model of a file, be it whole or not, reads text."""
    try:
        return any(".cross_attention" in name for name in read_torch_file(look.folder / file).tensors)
    except CheckpointError:  # which is noted where the model is examined
        return False


def _sheet(sizes: Mapping[str, int]) -> list[Line]:
    return lines_of(_rows(sizes["layers"], reads_text="context" in sizes), sizes)


def _rows(layers: int, *, reads_text: bool) -> list[tuple[str, str, str]]:
    rows = list(_BASE)
    for number in range(layers):
        start = f"layers.{number}."
        rows += [(start + theirs, start + ours, shape) for theirs, ours, shape in _LAYER]
        if reads_text:
            rows += [(start + theirs, start + ours, shape) for theirs, ours, shape in _TEXT_LAYER]
    return rows


def _config(look: Inspection, file: str, sizes: Mapping[str, int]) -> dict[str, Any] | None:
    """What the class is built from; None, and faults noted, where nothing says it."""
    said_in = joined(PurePosixPath(file).parent.as_posix(), CONFIG_FILE)
    stated = (look.json_object(said_in) if look.has(said_in) else {}) or {}
    measured = {
        "hidden_size": sizes["width"],
        "intermediate_size": sizes["mlp"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["queries"] // sizes["head"],
        "num_key_value_heads": sizes["keys"] // sizes["head"],
        "head_dim": sizes["head"],
        "vocab_size": sizes["vocabulary"],
        "context_width": sizes.get("context"),
    }
    for theirs, ours in _STATED_SIZES.items():
        if stated.get(theirs) not in (None, measured[ours]):
            look.fault(f"{said_in} is of another model: {theirs} is {stated[theirs]}, not {measured[ours]}")
    known = next((each for each in PUBLISHED.values() if measured.items() <= each.items()), None)
    config = {**(known or {}), **measured}
    config |= {ours: stated[theirs] for theirs, ours in _STATED.items() if stated.get(theirs) is not None}
    if stated.get("apply_yarn") is not None:
        config["yarn"] = _yarn(look, stated) if stated["apply_yarn"] else None
    missing = [theirs for theirs, ours in [*_STATED.items(), ("apply_yarn", "yarn")] if ours not in config]
    if missing:
        look.fault(f"{file} has the sizes of none of {', '.join(PUBLISHED)}: {said_in} must say {', '.join(missing)}")
        return None
    check_shape(look, "video_latent_shape", config["latent_shape"])
    return config


def _yarn(look: Inspection, stated: Mapping[str, Any]) -> dict[str, Any]:
    yarn = {ours: YARN[ours] if stated.get(theirs) is None else stated[theirs] for theirs, ours in _STATED_YARN.items()}
    check_shape(look, "original_latent_shape", yarn["original_latent_shape"])
    return yarn


def check_shape(look: Inspection, name: str, shape: object) -> None:
    """Notes it where a value of config.json is no shape of tokens."""
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(size) is int and size > 0 for size in shape)):
        look.fault(f"{CONFIG_FILE}: {name} is {str(shape)[:80]}, not three counts: frames, rows and columns of tokens")
