"""The JSON files of a checkpoint."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as the libraries do."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_index(folder: Path, pipeline: str, components: Mapping[str, tuple[str, str] | None]) -> None:
    """Write a pipeline's model_index.json. components: library and class of each, None for one without files."""
    listed = {name: list(entry or (None, None)) for name, entry in components.items()}
    write_json(
        folder / "model_index.json",
        {"_class_name": pipeline, "_diffusers_version": diffusers.__version__, **listed},
    )
