"""Examines a Cosmos 3 checkpoint: the unified repository of generator and reasoner, or a reasoner of its own.

The unified one is two things in the same files: a diffusers pipeline by its model_index.json, and transformers' form of
the reasoner by its config.json, whose weights are those of the transformer's reasoner tower and of the vision encoder.
"""

from dataclasses import dataclass
from typing import Any

from cosmos_handler.artifacts import reasoner
from cosmos_handler.artifacts.checkpoint import GenerationLimits, Part
from cosmos_handler.artifacts.inspection import Inspection, component_config
from cosmos_handler.artifacts.tokenizer import check_processor, check_tokenizer, check_tokenizer_template
from cosmos_handler.artifacts.weights import DIFFUSERS, TRANSFORMERS, find_part

TITLE = "Cosmos 3"
GENERATION_TASKS: tuple[str, ...] = ("text2image", "text2video", "image2video", "video2video")
FOLDERS: tuple[str, ...] = (".", "scheduler", "text_tokenizer", "transformer", "vae", "vision_encoder")

# NVIDIA's framework: 400 frames at 256p, fewer above, and no side longer than the widest of its sizes, 1360x768. The
# positions of a Cosmos 3 are computed, so that no table in its files bounds them.
_MAX_FRAMES = 400
_MAX_SIDE = 1360

# What diffusers builds where a config says nothing.
_DEFAULT_TEMPORAL_FACTOR = 4
_DEFAULT_SPATIAL_FACTOR = 8


@dataclass(frozen=True)
class Found:
    """What a folder holds. generation: None for a reasoner of its own; context_tokens: None without a reasoner."""

    tasks: tuple[str, ...]
    parts: tuple[Part, ...]
    generation: GenerationLimits | None
    context_tokens: int | None


def examine(look: Inspection) -> Found:
    """The tasks, parts and limits; what is wrong is noted as faults."""
    if not look.has("model_index.json"):
        model, tokens = reasoner.examine(look, "cosmos3")
        return Found(reasoner.TASKS, model, None, tokens)
    look.json_object("model_index.json")
    look.json_object("scheduler/scheduler_config.json")
    check_tokenizer(look, folder="text_tokenizer")
    check_tokenizer_template(look, folder="text_tokenizer")
    component_config(look, "transformer", key="_class_name", expected="Cosmos3OmniTransformer")
    vae = component_config(look, "vae", key="_class_name", expected="AutoencoderKLWan")
    parts = [
        find_part(look, "transformer", folder="transformer", rule=DIFFUSERS),
        find_part(look, "tokenizer", folder="vae", rule=DIFFUSERS),  # NVIDIA's word for the VAE
    ]
    limits = _limits(look, vae) if vae is not None else None
    # A folder that diffusers saved holds the generator alone: then that is what it is.
    if not look.has("config.json"):
        return Found(GENERATION_TASKS, tuple(part for part in parts if part), limits, None)
    config = look.json_object("config.json")
    check_tokenizer(look, folder=".")
    check_processor(look, own_video_settings=True)
    look.json_object("vision_encoder/config.json")
    parts.append(find_part(look, "vision_encoder", folder="vision_encoder", rule=TRANSFORMERS))
    context_tokens = reasoner.context_tokens(look, config) if config is not None else None
    tasks = (*GENERATION_TASKS, *reasoner.TASKS)
    return Found(tasks, tuple(part for part in parts if part), limits, context_tokens)


def _limits(look: Inspection, vae: dict[str, Any]) -> GenerationLimits | None:
    factors = []
    for name, default in (
        ("scale_factor_temporal", _DEFAULT_TEMPORAL_FACTOR),
        ("scale_factor_spatial", _DEFAULT_SPATIAL_FACTOR),
    ):
        factor = vae.get(name, default)
        if type(factor) is not int or not 1 <= factor <= 64:
            look.fault(f"vae/config.json: {name} is not a whole number from 1 to 64")
            return None
        factors.append(factor)
    temporal, spatial = factors
    side = _MAX_SIDE // spatial * spatial
    return GenerationLimits(
        max_frames=_MAX_FRAMES, max_height=side, max_width=side, temporal_factor=temporal, size_multiple=spatial
    )
