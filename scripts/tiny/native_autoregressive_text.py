"""A tiny Cosmos-Predict1-5B-Video2World in NVIDIA's own form: the model alone, from its list of tensors."""

from collections.abc import Callable
from pathlib import Path

from scripts.tiny.native_autoregressive import write_model


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`."""
    write_model(folder, "autoregressive_text", seed=seed)
    report("model.pt")
