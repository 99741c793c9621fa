"""Loads a named part from its files, in the dtype in which they are stored."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from cosmos_handler.artifacts.checkpoint import Checkpoint, Part
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.errors import CheckpointError
from cosmos_handler.memory.native import load_native

disable_progress_bar()  # a log is no place for bars; the session reports every part that is loaded


@dataclass(frozen=True)
class PartClass:
    """The library's class for a part."""

    module: str
    name: str


def load_part(checkpoint: Checkpoint | Guardrails, part: Part, part_class: PartClass) -> torch.nn.Module:
    """The part on the CPU, in evaluation mode. Raises CheckpointError where the files do not make the model.

    The libraries' loaders give float32 unless told, so the stored dtype is always passed.
    """
    loader: Any = getattr(importlib.import_module(part_class.module), part_class.name)
    if part.native is not None:
        return _ready(load_native(checkpoint, part, part.native, loader))
    folder = Path(checkpoint.path) / part.folder
    options = {"dtype": getattr(torch, part.dtype), "local_files_only": True, "use_safetensors": True}
    try:
        module, report = loader.from_pretrained(folder, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} does not load as {part_class.name}: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:  # the libraries would only warn, and go on with random numbers in their place
        raise CheckpointError(
            f"{folder} lacks weights of {part_class.name}: {', '.join(missing[:5])} ({len(missing)} in all)"
        )
    return _ready(module)


def _ready(module: torch.nn.Module) -> torch.nn.Module:
    module.eval()
    module.requires_grad_(requires_grad=False)
    return module
