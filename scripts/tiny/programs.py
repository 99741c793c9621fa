"""Tiny programs in NVIDIA's own form: traced, they hold the listed tensors under the listed names, and compute."""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch

from cosmos_handler.artifacts.native.sheet import Line
from scripts.tiny.native import listed, shapes
from scripts.tiny.weights import generator

_CONSTANTS: Mapping[str, Callable[[], torch.Tensor]] = {
    "wavelets": lambda: torch.full((2,), math.sqrt(0.5)),
    "_arange": lambda: torch.arange(2),
    "patch_size_buffer": lambda: torch.tensor([4], dtype=torch.int32),
}


class Program(torch.nn.Module):
    """Modules nested as NVIDIA's are, with the tensors of a list, which become those of the library's model.

    lines: of the model's sheet, which say what each tensor is called in it. run: what is done with the model.
    constants: made beside the weights, by the last word of their names; wavelets and the like are known.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        name: str,
        lines: Iterable[Line],
        weights: Mapping[str, torch.Tensor],
        *,
        run: Callable[[torch.Tensor], object],
        constants: Mapping[str, Callable[[], torch.Tensor]] | None = None,
    ) -> None:
        super().__init__()
        ours = {line.theirs: line.ours for line in lines}
        shared = {}
        for key, tensor in weights.items():
            shared[ours[key]] = torch.nn.Parameter(tensor, requires_grad=False)
            _holder(self, key).register_parameter(_last(key), shared[ours[key]])
        known = {**_CONSTANTS, **(constants or {})}
        for key in listed(name)["beside"]:
            _holder(self, key).register_buffer(_last(key), known[_last(key)]())
        model.load_state_dict(shared, strict=False, assign=True)
        self._run = run

    def forward(self, given: torch.Tensor) -> object:
        """What the model makes of it."""
        return self._run(given)

    def save(self, path: Path, example: torch.Tensor) -> None:
        """Trace it with an example, and write it."""
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what tracing says of numbers that become constants
            torch.jit.save(torch.jit.trace(self.eval(), example, check_trace=False), path)


def tensors(name: str, model: str, *, seed: int, spreads: Mapping[str, float]) -> dict[str, torch.Tensor]:
    """The float32 weights of a list. No norm and no bias does nothing, so that none can be taken for another.

    spreads: how much wider than usual those are drawn whose names begin so.
    """
    return {key: _values(key, shape, seed, spreads) for key, shape in shapes(name, model).items()}


def _values(name: str, shape: tuple[int, ...], seed: int, spreads: Mapping[str, float]) -> torch.Tensor:
    drawn = torch.randn(shape, generator=generator(seed, name))
    if name.endswith("norm.weight"):
        return 1 + 0.2 * drawn
    if len(shape) == 1:
        return 0.1 * drawn
    spread = next((spread for start, spread in spreads.items() if name.startswith(start)), 1.0)
    return spread / math.sqrt(math.prod(shape[1:])) * drawn


def _holder(module: torch.nn.Module, key: str) -> torch.nn.Module:
    """The module that holds a tensor, made if absent."""
    for name in key.split(".")[:-1]:
        if name not in dict(module.named_children()):
            module.add_module(name, torch.nn.Module())
        module = module.get_submodule(name)
    return module


def _last(key: str) -> str:
    return key.rpartition(".")[2]
