"""A tiny diffusion decoder in NVIDIA's own form: model.pt, from its list of tensors, and aux_vars.pt."""

import math
from collections.abc import Callable
from pathlib import Path

import torch

from cosmos_handler.artifacts.native.diffusion_decoder import AUX_FILE, FILE, TEXT, TEXT_MASK
from scripts.tiny import native
from scripts.tiny.native import listed, save, shapes
from scripts.tiny.weights import generator

LIST = "diffusion_decoder"

_TEXT_TOKENS = 6  # of the prompt for videos without one, which has 512 in the published one


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write both files into the existing `folder`."""
    beside = native.tensors(LIST, "tiny", seed=seed)
    weights = {key: tensor.to(torch.bfloat16) for key, tensor in tensors("tiny", seed=seed).items()}
    save(folder / FILE, {**beside, **weights})
    report(FILE)
    context = torch.randn(text_shape(), generator=generator(seed, AUX_FILE)).to(torch.bfloat16)
    save(folder / AUX_FILE, {TEXT: context, TEXT_MASK: torch.ones(text_shape()[:2])})
    report(AUX_FILE)


def tensors(model: str, *, seed: int) -> dict[str, torch.Tensor]:
    """The float32 weights. No norm does nothing, so that none can be taken for another."""
    return {key: _values(key, shape, seed) for key, shape in shapes(LIST, model).items()}


def text_shape() -> tuple[int, int, int]:
    """Of the embeddings of a prompt that it reads."""
    return 1, _TEXT_TOKENS, listed(LIST)["sizes"]["tiny"]["text"]


def _values(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    drawn = torch.randn(shape, generator=generator(seed, name))
    if len(shape) == 1:
        return 1 + 0.2 * drawn
    return drawn if "embedder.weight" in name else drawn / math.sqrt(shape[1])
