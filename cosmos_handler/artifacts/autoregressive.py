"""Examines an autoregressive Cosmos 1.0 or Predict1: its model.pt or safetensors, and the networks that go with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.artifacts import t5
from cosmos_handler.artifacts.checkpoint import GenerationLimits, Part
from cosmos_handler.artifacts.companions import DECODER_TOKENIZER, DIFFUSION_DECODER, TOKENIZER
from cosmos_handler.artifacts.elsewhere import Elsewhere
from cosmos_handler.artifacts.inspection import Inspection, component_config, joined
from cosmos_handler.artifacts.native import autoregressive as native_model
from cosmos_handler.artifacts.native.continuous_tokenizer import examine_decoder_tokenizer
from cosmos_handler.artifacts.native.diffusion_decoder import (
    AUX_FILE,
    FILE,
    examine_aux_vars,
    examine_diffusion_decoder,
)
from cosmos_handler.artifacts.native.layout import NativeCheckpoint
from cosmos_handler.artifacts.native.sheet import Weights, check_names
from cosmos_handler.artifacts.native.video_tokenizer import examine_video_tokenizer
from cosmos_handler.artifacts.weights import DIFFUSERS, TRANSFORMERS, find_part

TITLE = native_model.TITLE
TASKS: tuple[str, ...] = ("image2world", "video2world")
FOLDERS: tuple[str, ...] = (".", t5.OWN, t5.OWN_TOKENIZER, TOKENIZER.own, DIFFUSION_DECODER.own, DECODER_TOKENIZER.own)
AUX_PLACE = "aux_vars"  # the file itself, with the embeddings for models that read no text

MODEL_TYPE, MODEL_CLASS = "cosmos_autoregressive", "CosmosAutoregressive"

_TEMPORAL_FACTOR, _SPATIAL_FACTOR = 8, 16
_LEAST_FRAMES = 2  # of tokens: one to go on from, and what follows
# What config.json of the converted form must say, as whole numbers above zero.
_COUNTS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What was found. places: of components that do not lie in the checkpoint under their own name.

    note: what is not there although it may be, to follow the name; "" where there is all.
    """

    parts: tuple[Part, ...]
    generation: GenerationLimits | None
    places: Mapping[str, str]
    note: str


def examine(look: Inspection, native: NativeCheckpoint | None, elsewhere: Elsewhere) -> Found:
    """The parts in the order of the stages, and the limits; what is wrong or missing is noted as faults.

    native: the file in NVIDIA's own form; None for the converted form.
    """
    places: dict[str, str] = {}
    if native is not None:
        model = native_model.examine_model(look, native.file)
        has_text = native_model.reads_text(look, native.file)
    else:
        model = _converted_model(look)
        has_text = model is not None and model.config["context_width"] is not None
    if model is not None and model.config["latent_shape"][0] < _LEAST_FRAMES:
        look.fault(f"its videos have {model.config['latent_shape'][0]} frame of tokens, so that nothing follows any")
    text_encoder = None
    if has_text:
        width = model.config["context_width"] if model is not None else None
        text_encoder = t5.examine_text_encoder(look, elsewhere, places, context_width=width)
    parts = (text_encoder, model, _tokenizer(look))
    decoders = _decoders(look, places, model, text_encoder, reads_text=has_text)
    without = "has no diffusion decoder: its tokens become frames by the tokenizer alone"
    return Found(
        parts=tuple(part for part in (*parts, *(decoders or ())) if part is not None),
        generation=_limits(model.config["latent_shape"]) if model is not None else None,
        places=places,
        note=without if decoders is None else "",
    )


def _limits(latent_shape: list[int]) -> GenerationLimits:
    """Of the one size that a model makes. latent_shape: frames, rows and columns of tokens."""
    frames, rows, columns = latent_shape
    return GenerationLimits(
        max_frames=_TEMPORAL_FACTOR * (frames - 1) + 1,
        max_height=_SPATIAL_FACTOR * rows,
        max_width=_SPATIAL_FACTOR * columns,
        temporal_factor=_TEMPORAL_FACTOR,
        size_multiple=_SPATIAL_FACTOR,
    )


def _converted_model(look: Inspection) -> Part | None:
    """The model as scripts/convert_autoregressive.py writes it."""
    config = look.json_object("config.json")
    faults_before = len(look.faults)
    part = find_part(look, native_model.PART, folder=".", rule=TRANSFORMERS)
    if config is not None:
        _check_config(look, config)
    if config is None or part is None or len(look.faults) > faults_before:
        return None
    headers = [header for file in part.files if (header := look.header(file)) is not None]
    tensors = {name: tensor for header in headers for name, tensor in header.tensors.items()}
    shown = part.files[0] if len(part.files) == 1 else TRANSFORMERS.index
    weights = Weights(file=shown, prefix="", tensors=tensors, checksums={}, wrappers=())
    check_names(look, weights, native_model.our_sheet(config), what=TITLE)
    return part if len(look.faults) == faults_before else None


def _check_config(look: Inspection, config: dict[str, Any]) -> None:
    for key in _COUNTS:
        if not _is_count(config.get(key)):
            look.fault(f"config.json: {key} is {config.get(key)!r}, not a positive whole number")
    native_model.check_shape(look, "latent_shape", config.get("latent_shape"))
    if "context_width" not in config or not (config["context_width"] is None or _is_count(config["context_width"])):
        look.fault("config.json: context_width is neither null nor a positive whole number")


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0


def _tokenizer(look: Inspection) -> Part | None:
    folder = TOKENIZER.folder(look)
    if folder is None:
        look.fault(TOKENIZER.missing(look))
        return None
    if _is_library_form(look, folder):
        component_config(look, folder, key="_class_name", expected="VideoTokenizer")
        return find_part(look, "tokenizer", folder=folder, rule=DIFFUSERS)
    return examine_video_tokenizer(look, folder, name="tokenizer")


def _is_library_form(look: Inspection, folder: str) -> bool:
    return any(look.has(joined(folder, file)) for file in (DIFFUSERS.single, DIFFUSERS.index))


def _decoders(
    look: Inspection, places: dict[str, str], model: Part | None, text_encoder: Part | None, *, reads_text: bool
) -> tuple[Part | None, ...] | None:
    """The diffusion decoder and the tokenizer of its latents; None where there is neither, which is no fault."""
    folder, of_latents = DIFFUSION_DECODER.folder(look), DECODER_TOKENIZER.folder(look)
    if folder is None and of_latents is None:
        return None
    decoder = tokenizer = None
    if folder is None:
        look.fault(f"{DIFFUSION_DECODER.missing(look)}; or take away {of_latents}, which does nothing without it")
    else:
        decoder = examine_diffusion_decoder(look, joined(folder, FILE))
        if decoder is not None:
            _check_widths(look, decoder, model, text_encoder)
        if not reads_text:
            _find_aux_vars(look, folder, places, decoder)
    if of_latents is None:
        look.fault(f"{DECODER_TOKENIZER.missing(look)}; or take away {folder}, which does nothing without it")
    else:
        tokenizer = examine_decoder_tokenizer(look, of_latents)
    return decoder, tokenizer


def _check_widths(look: Inspection, decoder: Part, model: Part | None, text_encoder: Part | None) -> None:
    """Notes it where the decoder does not read what the model and the text encoder give."""
    (file,), config = decoder.files, decoder.config
    if model is not None and model.config["vocab_size"] > config["num_codes"]:
        look.fault(f"{file} knows {config['num_codes']} codes, but the model makes {model.config['vocab_size']}")
    width = config["text_embed_dim"]
    if text_encoder is not None and text_encoder.config.get("d_model") != width:
        given = text_encoder.config.get("d_model")
        look.fault(f"{file} reads embeddings of {width}, but those of the text encoder are {given} wide")


def _find_aux_vars(look: Inspection, folder: str, places: dict[str, str], decoder: Part | None) -> None:
    """Notes as a place the file with the embeddings that the decoder reads beside a model that reads no prompts."""
    file = joined(folder, AUX_FILE)
    if not look.has(file):
        look.fault(
            f"{file} is missing: the embeddings of a prompt, which the diffusion decoder needs beside a model that "
            f"reads none; {DIFFUSION_DECODER.hub_id(look.folder.name)} holds it"
        )
        return
    if decoder is not None:
        examine_aux_vars(look, file, text_width=decoder.config["text_embed_dim"])
    places[AUX_PLACE] = str(look.folder.resolve() / file)
