"""The tiny Cosmos-Predict1-4B again, for videos of NVIDIA's size: 33 frames of 640 x 1024 pixels."""

from collections.abc import Callable
from pathlib import Path

from scripts.tiny.native_autoregressive import FULL, write_checkpoint


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`."""
    write_checkpoint(folder, "autoregressive", FULL, seed=seed, report=report)
