"""A tiny Cosmos-Predict1-5B-Video2World in NVIDIA's own form, with its tokenizer and the T5 that encodes prompts."""

from collections.abc import Callable
from pathlib import Path

from scripts.tiny.native import listed
from scripts.tiny.native_autoregressive import SMALL, write_checkpoint
from scripts.tiny.t5 import write_text_encoder

NAME = "autoregressive_text"


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`."""
    write_with_text(folder, SMALL, seed=seed, report=report)


def write_with_text(
    folder: Path, latent_shape: tuple[int, int, int], *, seed: int, report: Callable[[str], None]
) -> None:
    """The same for videos of another size."""
    write_checkpoint(folder, NAME, latent_shape, seed=seed, report=report)
    write_text_encoder(folder, width=listed(NAME)["sizes"]["tiny"]["context"], seed=seed)
    report("text_encoder, text_tokenizer")
