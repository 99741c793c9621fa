"""A tiny Cosmos-Predict1-4B in NVIDIA's own form: model.pt, config.json and, in it, all that decodes its tokens."""

from collections.abc import Callable
from pathlib import Path

from cosmos_handler.artifacts.companions import DECODER_TOKENIZER, DIFFUSION_DECODER, TOKENIZER
from scripts.tiny import decoder_tokenizer, diffusion_decoder, video_tokenizer
from scripts.tiny.files import write_json
from scripts.tiny.native import listed, save, tensors

# Frames, rows and columns of tokens: 33 frames of 64 x 128 pixels, and of NVIDIA's 640 x 1024.
SMALL, FULL = (5, 4, 8), (5, 40, 64)
# What NVIDIA's code knows by the sizes of the published models, and must be told of others.
_CONFIG = {"norm_eps": 1e-5, "rope_theta": 500000, "apply_yarn": False}


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`."""
    write_checkpoint(folder, "autoregressive", SMALL, seed=seed, report=report)


def write_checkpoint(
    folder: Path, name: str, latent_shape: tuple[int, int, int], *, seed: int, report: Callable[[str], None]
) -> None:
    """Write a model, its tokenizer, and the diffusion decoder with its own. name: of the model's list of tensors."""
    write_model(folder, name, latent_shape, seed=seed)
    report("model.pt")
    for companion, maker in (
        (TOKENIZER, video_tokenizer),
        (DIFFUSION_DECODER, diffusion_decoder),
        (DECODER_TOKENIZER, decoder_tokenizer),
    ):
        place = folder / companion.names[0]
        place.mkdir()
        maker.write(place, seed=seed, report=report)


def write_model(folder: Path, name: str, latent_shape: tuple[int, int, int], *, seed: int) -> None:
    """Write model.pt and config.json. name: of the list of tensors."""
    sizes = listed(name)["sizes"]["tiny"]
    save(folder / "model.pt", tensors(name, "tiny", seed=seed))
    stated = {
        "dim": sizes["width"],
        "n_layers": sizes["blocks"],
        "n_heads": sizes["queries"] // sizes["head"],
        "n_kv_heads": sizes["keys"] // sizes["head"],
        "head_dim": sizes["head"],
        "ffn_hidden_size": sizes["mlp"],
        "video_latent_shape": list(latent_shape),
    }
    write_json(folder / "config.json", stated | _CONFIG)
