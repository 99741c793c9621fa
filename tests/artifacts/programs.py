"""Programs that hold the listed tensors, all zeros, and do nothing with them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CONSTANTS = {"_levels": [8, 8, 8, 5, 5, 5], "patch_size_buffer": [4], "wavelets": [0.70703125] * 2}


def empty_program(path: Path, tensors: Mapping[str, Any]) -> None:
    import torch

    top = torch.nn.Module()
    for key, tensor in tensors.items():
        *holders, name = key.split(".")
        module = top
        for holder in holders:
            if holder not in dict(module.named_children()):
                module.add_module(holder, torch.nn.Module())
            module = module.get_submodule(holder)
        module.register_buffer(name, tensor)
    top.forward = lambda given: given
    torch.jit.save(torch.jit.trace(top, torch.zeros(1)), path)


def listed_tensors(name: str, model: str = "tiny") -> dict[str, Any]:
    """Those of a list, and the constants beside them."""
    import torch

    from scripts.tiny.native import listed, shapes

    made = {key: torch.zeros(shape, dtype=torch.bfloat16) for key, shape in shapes(name, model).items()}
    for key, (kind, shape) in listed(name)["beside"].items():
        dtype = torch.bfloat16 if kind == "float32" else getattr(torch, kind)
        value = _CONSTANTS.get(key.rpartition(".")[2])
        made[key] = torch.zeros(shape, dtype=dtype) if value is None else torch.tensor(value, dtype=dtype)
    return made


def written(folder: Path, encoder: Mapping[str, Any], decoder: Mapping[str, Any]) -> Path:
    """Both programs of a tokenizer."""
    empty_program(folder / "encoder.jit", encoder)
    empty_program(folder / "decoder.jit", decoder)
    return folder
