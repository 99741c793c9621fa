"""Examines a Cosmos Predict2.5 checkpoint in diffusers form: its five components, and the largest video it can make."""

import math
from typing import Any

from cosmos_handler.artifacts.checkpoint import GenerationLimits, Part
from cosmos_handler.artifacts.inspection import Inspection, component_config
from cosmos_handler.artifacts.tokenizer import check_tokenizer, check_tokenizer_template
from cosmos_handler.artifacts.weights import DIFFUSERS, TRANSFORMERS, find_part

TASKS: tuple[str, ...] = ("text2world", "image2world", "video2world")
COMPONENTS = ("scheduler", "text_encoder", "tokenizer", "transformer", "vae")
FOLDERS: tuple[str, ...] = (".", *COMPONENTS)

_PIPELINE_SIZE_MULTIPLE = 16  # the pipeline refuses other sizes, whatever its parts could do

# What diffusers builds where a config says nothing.
_DEFAULT_MAX_SIZE = [128, 240, 240]
_DEFAULT_PATCH_SIZE = [1, 2, 2]
_DEFAULT_DOWNSAMPLE = [False, True, True]


def examine(look: Inspection) -> tuple[tuple[Part, ...], GenerationLimits | None]:
    """The parts in the order of the stages, and the limits; what is wrong is noted as faults."""
    _check_listing(look)
    look.json_object("scheduler/scheduler_config.json")
    check_tokenizer(look, folder="tokenizer")
    check_tokenizer_template(look, folder="tokenizer")
    component_config(look, "text_encoder", key="model_type", expected="qwen2_5_vl")
    transformer = component_config(look, "transformer", key="_class_name", expected="CosmosTransformer3DModel")
    vae = component_config(look, "vae", key="_class_name", expected="AutoencoderKLWan")
    parts = (
        find_part(look, "text_encoder", folder="text_encoder", rule=TRANSFORMERS),
        find_part(look, "transformer", folder="transformer", rule=DIFFUSERS),
        # NVIDIA's word for the VAE; the folder called tokenizer holds the text tokenizer.
        find_part(look, "tokenizer", folder="vae", rule=DIFFUSERS),
    )
    limits = limits_of(look, transformer, vae) if transformer is not None and vae is not None else None
    return tuple(part for part in parts if part), limits


def _check_listing(look: Inspection) -> None:
    # A safety_checker may be listed as well: guardrails are configured apart, so its entry is not read.
    listing = look.json_object("model_index.json")
    if listing is None:
        return
    for component in COMPONENTS:
        entry = listing.get(component)
        if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) for word in entry)):
            look.fault(f"model_index.json does not list {component} as [library, class]")


def limits_of(look: Inspection, transformer: dict[str, Any], vae: dict[str, Any]) -> GenerationLimits | None:
    """From the transformer's position table, which counts patches of latents, and the VAE's compression."""
    faults_before = len(look.faults)
    max_size, patch_size = position_table(transformer)
    downsample = vae.get("temperal_downsample", _DEFAULT_DOWNSAMPLE)  # so it is spelled in diffusers
    if not _are_three_counts(max_size):
        look.fault("transformer/config.json: max_size is not three positive whole numbers")
    if not _are_three_counts(patch_size):
        look.fault("transformer/config.json: patch_size is not three positive whole numbers")
    if not (
        isinstance(downsample, list) and 0 < len(downsample) <= 8 and all(type(down) is bool for down in downsample)
    ):
        look.fault("vae/config.json: temperal_downsample is not a list of true and false")
    if len(look.faults) > faults_before:
        return None
    temporal_factor, spatial_factor = 2 ** sum(downsample), 2 ** len(downsample)
    latent_frames, latent_rows, latent_columns = (
        size // patch * patch for size, patch in zip(max_size, patch_size, strict=True)
    )
    multiple = math.lcm(_PIPELINE_SIZE_MULTIPLE, *(spatial_factor * patch for patch in patch_size[1:]))
    limits = GenerationLimits(
        max_frames=(latent_frames - 1) * temporal_factor + 1,
        max_height=latent_rows * spatial_factor // multiple * multiple,
        max_width=latent_columns * spatial_factor // multiple * multiple,
        temporal_factor=temporal_factor,
        size_multiple=multiple,
    )
    if min(limits.max_frames, limits.max_height, limits.max_width) < 1:
        look.fault("transformer/config.json: max_size has no room for a single patch")
    return limits


def position_table(transformer: dict[str, Any]) -> tuple[Any, Any]:
    """max_size and patch_size of a transformer's config: latent frames, rows and columns."""
    return transformer.get("max_size", _DEFAULT_MAX_SIZE), transformer.get("patch_size", _DEFAULT_PATCH_SIZE)


def _are_three_counts(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(item) is int and item > 0 for item in value)
