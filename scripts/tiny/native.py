"""The lists of NVIDIA's tensors in native_keys/, and tiny tensors made from them."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from scripts.tiny.weights import generator

_LISTS = Path(__file__).parent / "native_keys"


def tensors(name: str, model: str, *, seed: int, dtype: torch.dtype = torch.bfloat16) -> dict[str, torch.Tensor]:
    """The tensors of a list at the sizes of one of its models, with what lies beside the weights."""
    made = {key: _values(key, shape, seed).to(dtype) for key, shape in shapes(name, model).items()}
    for key, (kind, shape) in listed(name).get("beside", {}).items():
        made[key] = torch.zeros(shape, dtype=getattr(torch, kind))
    return made


def shapes(name: str, model: str) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight of a model. name: of the list. model: a key of its sizes."""
    content = listed(name)
    sizes = content["sizes"][model]
    return {
        key: tuple(_size(word, sizes) for word in shape)
        for pattern, shape in content["tensors"].items()
        for key in _keys(pattern, sizes)
    }


def listed(name: str) -> dict[str, Any]:
    """One of the lists."""
    content: dict[str, Any] = json.loads((_LISTS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def save(path: Path, state: dict[str, torch.Tensor]) -> None:
    """torch.save, into a folder that it makes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)


def _keys(pattern: str, sizes: dict[str, int]) -> Iterator[str]:
    if "*" not in pattern:
        yield pattern
        return
    count = sizes["control_blocks" if "control_blocks." in pattern else "blocks"]
    for number in range(count):
        yield pattern.replace("*", str(number))


def _size(word: str | int, sizes: dict[str, int]) -> int:
    if isinstance(word, int):
        return word
    factor, _, size = word.rpartition("*")
    return int(factor or 1) * sizes[size]


def _values(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """As the other tiny weights are drawn: ones for the gains of norms, small biases, matrices by their inputs."""
    if name.endswith(("norm.weight", ".gamma")):
        return torch.ones(shape)
    scale = 0.02 if len(shape) == 1 else 1 / math.sqrt(math.prod(shape[1:]))
    return torch.randn(shape, generator=generator(seed, name)) * scale
