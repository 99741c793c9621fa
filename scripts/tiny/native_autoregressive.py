"""A tiny Cosmos-Predict1-4B in NVIDIA's own form: the model alone, from its list of tensors."""

from collections.abc import Callable
from pathlib import Path

from scripts.tiny.files import write_json
from scripts.tiny.native import listed, save, tensors

# What NVIDIA's code knows by the sizes of the published models, and must be told of others.
_CONFIG = {"norm_eps": 1e-5, "rope_theta": 500000, "video_latent_shape": [5, 40, 64], "apply_yarn": False}


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`."""
    write_model(folder, "autoregressive", seed=seed)
    report("model.pt")


def write_model(folder: Path, name: str, *, seed: int) -> None:
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
    }
    write_json(folder / "config.json", stated | _CONFIG)
