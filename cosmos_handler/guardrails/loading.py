"""From the files that artifacts/guardrail found to checks."""

import importlib
from pathlib import Path

import torch

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.artifacts.guardrail_text import ADAPTER_PART, TEXT_CLASSIFIER_PART
from cosmos_handler.artifacts.guardrail_video import CONTENT_FILTER_PART
from cosmos_handler.errors import CheckpointError
from cosmos_handler.guardrails import content_filter, face_blur
from cosmos_handler.guardrails.blocklist import Blocklist
from cosmos_handler.guardrails.finding import TextCheck, VideoCheck
from cosmos_handler.guardrails.text_classifier import TextClassifier
from cosmos_handler.memory.components import PartClass, load_part
from cosmos_handler.memory.place import PlacedParts

_VIDEO_CLASSES = {**content_filter.PART_CLASSES, **face_blur.PART_CLASSES}
_CAUSAL_LM = PartClass("transformers", "AutoModelForCausalLM")


def load_guardrail(guardrails: Guardrails, part: Part) -> torch.nn.Module | None:
    """The module of a part, on the CPU; None for an adapter, which comes with the model it adapts.

    Raises CheckpointError where the files do not make it.
    """
    if part.name == ADAPTER_PART:
        return None
    if part.name == TEXT_CLASSIFIER_PART:
        model = load_part(guardrails, part, _CAUSAL_LM)
        adapter = next((each for each in guardrails.parts if each.name == ADAPTER_PART), None)
        return model if adapter is None else _adapted(model, Path(guardrails.path, adapter.folder))
    return load_part(guardrails, part, _VIDEO_CLASSES[part.name])


def text_checks(guardrails: Guardrails, parts: PlacedParts) -> tuple[TextCheck, ...]:
    """The checks of words that are on, in the order in which they are asked."""
    checks: list[TextCheck] = []
    if "blocklist" in guardrails.checks:
        checks.append(Blocklist(Path(guardrails.path)))
    if "text_classifier" in guardrails.checks:
        checks.append(TextClassifier(guardrails, parts))
    return tuple(checks)


def video_checks(guardrails: Guardrails, parts: PlacedParts) -> tuple[VideoCheck, ...]:
    """The checks of frames that are on, in the order in which they are asked. Raises CheckpointError as above."""
    checks: list[VideoCheck] = []
    if "content_filter" in guardrails.checks:
        checks.append(_content_filter(guardrails, parts))
    if "face_blur" in guardrails.checks:
        checks.append(face_blur.FaceBlur(parts))
    return tuple(checks)


def _content_filter(guardrails: Guardrails, parts: PlacedParts) -> content_filter.ContentFilter:
    (encoder,) = (part for part in guardrails.parts if part.name == CONTENT_FILTER_PART)
    folder = Path(guardrails.path, encoder.folder)
    try:
        return content_filter.ContentFilter(folder, parts)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{folder} does not say how SigLIP wants its pictures: {error}") from error


def _adapted(model: torch.nn.Module, adapter: Path) -> torch.nn.Module:
    peft = importlib.import_module("peft")  # takes seconds, and only Aegis needs it
    try:
        adapted = peft.PeftModel.from_pretrained(model, adapter, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{adapter} does not load as an adapter of the text classifier: {error}") from error
    merged: torch.nn.Module = adapted.merge_and_unload()
    return merged.eval()
