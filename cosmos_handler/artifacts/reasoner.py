"""Examines a Cosmos Reason1 or Reason2 checkpoint in transformers form: one model, its tokenizer and its processor."""

from collections.abc import Mapping
from typing import Any

from cosmos_handler.artifacts.checkpoint import Family, Part
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.tokenizer import check_processor, check_tokenizer
from cosmos_handler.artifacts.weights import TRANSFORMERS, find_part

TITLES: Mapping[Family, str] = {"reason1": "Cosmos Reason1", "reason2": "Cosmos Reason2"}
TASKS: tuple[str, ...] = ("reasoner",)
FOLDERS: tuple[str, ...] = (".",)

_DEFAULT_CONTEXT_TOKENS = 128_000  # what transformers assumes where the config says nothing


def examine(look: Inspection, family: Family) -> tuple[tuple[Part, ...], int | None]:
    """The one part, and how many tokens it can hold; what is wrong is noted as faults."""
    config = look.json_object("config.json")
    check_tokenizer(look, folder=".")
    # A Qwen2.5-VL was published before there were video processors: its image settings are read for videos as well.
    check_processor(look, own_video_settings=family != "reason1")
    part = find_part(look, "model", folder=".", rule=TRANSFORMERS)
    tokens = context_tokens(look, config) if config is not None else None
    return (part,) if part else (), tokens


def context_tokens(look: Inspection, config: dict[str, Any]) -> int | None:
    """How many tokens the reasoner of a config.json can hold; None, and a fault noted, where it does not say."""
    text_config = config.get("text_config", config)  # older files have no section of its own for the language model
    tokens = (
        text_config.get("max_position_embeddings", _DEFAULT_CONTEXT_TOKENS) if isinstance(text_config, dict) else None
    )
    if type(tokens) is not int or tokens < 1:
        look.fault("config.json: text_config.max_position_embeddings is not a positive whole number")
        return None
    return tokens
