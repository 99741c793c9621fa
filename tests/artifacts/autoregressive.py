"""Miniature autoregressive checkpoints: true layouts and names, the model in the sizes of the reference numbers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.artifacts.miniature import write_json, write_weights

STATED = {"norm_eps": 1e-5, "rope_theta": 500000, "video_latent_shape": [2, 3, 4], "apply_yarn": False}
CONTEXT_WIDTH = 24  # of the reference sizes


def state_of(name: str, sizes: str = "reference") -> dict[str, Any]:
    """All tensors of a model, each with a single value in the file, however large it is."""
    import torch

    from scripts.tiny.native import shapes

    return {key: torch.ones(1, dtype=torch.bfloat16).expand(shape) for key, shape in shapes(name, sizes).items()}


def write_model(folder: Path, name: str = "autoregressive", state: Mapping[str, Any] | None = None) -> Path:
    """model.pt and config.json alone. name: of the list of tensors."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state or state_of(name), folder / "model.pt")
    write_json(folder / "config.json", STATED)
    return folder


def write_tokenizer(folder: Path) -> Path:
    """DV8x16x16 as scripts/convert_autoregressive_tokenizer.py writes it."""
    write_json(folder / "config.json", {"_class_name": "VideoTokenizer", "width": 8})
    write_weights(folder / "diffusion_pytorch_model.safetensors")
    return folder


def write_t5(folder: Path, tokenizer: Path) -> None:
    """T5 in transformers form, and its tokenizer in a folder of its own."""
    config = {"model_type": "t5", "architectures": ["T5EncoderModel"], "d_model": CONTEXT_WIDTH}
    write_json(folder / "config.json", config)
    write_weights(folder / "model.safetensors")
    write_json(tokenizer / "tokenizer.json", {"version": "1.0"})


def write_decoders(decoder: Path, tokenizer: Path) -> None:
    """The tiny diffusion decoder, and a CV8x8x8 in diffusers' form."""
    from scripts.tiny import diffusion_decoder

    decoder.mkdir()
    diffusion_decoder.write(decoder, seed=0, report=lambda _: None)
    write_json(tokenizer / "config.json", {"_class_name": "AutoencoderKLCosmos"})
    write_weights(tokenizer / "diffusion_pytorch_model.safetensors")


def change_json(path: Path, **changes: Any) -> None:
    """Other values under some keys of an object."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
