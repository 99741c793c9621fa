"""Loads a model as NVIDIA publishes it: model.pt and config.json in a folder."""

from pathlib import Path
from typing import cast

from cosmos_handler.artifacts.native.autoregressive import find_model
from cosmos_handler.families.autoregressive.network import CosmosAutoregressive
from cosmos_handler.memory.native import load_native


def load_model(folder: Path) -> CosmosAutoregressive:
    """The model, in the type in which most of it is stored, its tensors mapped from the file and not read yet.

    Nothing in the file is run. Raises CheckpointError with all that is missing, strange or misshapen.
    """
    found = find_model(folder)
    if found.part.native is None:
        raise AssertionError("what is found in NVIDIA's own form is in NVIDIA's own form")
    model = load_native(found, found.part, found.part.native, CosmosAutoregressive)
    model.eval().requires_grad_(requires_grad=False)
    return cast(CosmosAutoregressive, model)
