"""Full-size networks out of nothing but their configurations, with random weights in one stretch of host memory each.

Nothing is downloaded or written, and no weight is there twice: a network is made without memory first, its layout gives
the stretch, and its parameters become views of that. Time and memory do not depend on what the weights are, as long as
they are no zeros, which a GPU multiplies with less power.
"""

import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from accelerate import init_empty_weights
from transformers import PreTrainedModel

from cosmos_handler.artifacts.blocks import blocks_of
from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.host import HostMemory, SharedFiles
from cosmos_handler.memory.layout import Layout, Slot, lay_out

_PATTERN_VALUES = 2**25
_DEVIATION = 0.02  # as most of these networks are initialised
# How far what is built may be from what is planned with: some positions are kept in float32, and files may hold twice
# what is used twice.
_SIZE_TOLERANCE = 0.01


def build(part: Part, part_class: PartClass) -> torch.nn.Module:
    """The network of a part, in evaluation mode; its parameters have shapes and types and no memory."""
    kind: Any = getattr(importlib.import_module(part_class.module), part_class.name)
    with init_empty_weights():
        module: torch.nn.Module = _from_config(kind, dict(part.config))
    if isinstance(module, PreTrainedModel):
        module.tie_weights()  # without memory, what is used twice was made twice
    module.eval()
    module.requires_grad_(requires_grad=False)
    dtype: torch.dtype = getattr(torch, part.dtype)
    for name, parameter in module.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if _stays_single(kind, name) else dtype)
    return module


def _from_config(kind: Any, config: dict[str, Any]) -> torch.nn.Module:
    if hasattr(kind, "from_config"):  # of diffusers
        made: torch.nn.Module = kind.from_config(config)
        return made
    return kind(kind.config_class.from_dict(config))  # type: ignore[no-any-return]


def _stays_single(kind: Any, name: str) -> bool:
    """Whether diffusers' loader would keep a parameter in float32. transformers does so for float16 alone."""
    names = getattr(kind, "_keep_in_fp32_modules", None) if kind.__module__.startswith("diffusers.") else None
    return any(kept in name.split(".") for kept in names or ())


def part_of(name: str, part_class: PartClass, config: Mapping[str, Any], dtype: str = "bfloat16") -> Part:
    """A part as it would be found on disk, by its configuration alone."""
    found = Part(name=name, folder=name, files=(), size_bytes=0, dtype=dtype, config=config)
    sizes = {key: tensor.numel() * tensor.element_size() for key, tensor in build(found, part_class).named_parameters()}
    blocks = blocks_of(sizes)
    return Part(
        name=name,
        folder=name,
        files=(),
        size_bytes=sum(sizes.values()),
        dtype=dtype,
        **asdict(blocks),
        config=config,
    )


class RandomPart:
    """One network's weights in host memory, and as many modules over them as are wanted.

    Raises ValueError where what is built is not what the plan reckons with.
    """

    def __init__(self, part: Part, part_class: PartClass, pattern: torch.Tensor) -> None:
        self.part = part
        self._class = part_class
        module = build(part, part_class)
        layout = lay_out(module)
        size_bytes = sum(slot.size_bytes for unit in layout.units for slot in unit.slots)
        if abs(size_bytes - part.size_bytes) > _SIZE_TOLERANCE * part.size_bytes:
            raise ValueError(f"{part.name} takes {size_bytes} bytes, and {part.size_bytes} are planned with")
        self._descriptor = os.memfd_create("bench-weights")
        self.host = HostMemory(self._descriptor, layout, _RandomTensors(layout, pattern))

    @property
    def size_bytes(self) -> int:
        """Of the stretch."""
        return self.host.bytes.numel()

    def close(self) -> None:
        """Give the host's memory back, once nothing else holds its tensors."""
        if self.host.is_pinned:
            runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
            runtime.cudaHostUnregister(self.host.bytes.data_ptr())
        os.close(self._descriptor)

    def module(self) -> torch.nn.Module:
        """A new module, whose parameters are the weights as they lie in host memory."""
        module = build(self.part, self._class)
        views = {id(slot.tensor): slot.view(memory) for slot, memory in _places(lay_out(module), self.host.bytes)}
        made: dict[int, torch.nn.Parameter] = {}
        for owner in module.modules():
            for name, parameter in owner.named_parameters(recurse=False, remove_duplicate=False):
                key = id(parameter)
                if key not in made:  # one that is used twice stays one
                    made[key] = torch.nn.Parameter(views[key], requires_grad=False)
                setattr(owner, name, made[key])
        return module


class Prepared(SharedFiles):
    """Stretches that are there already, by owner and part."""

    def __init__(self, stretches: Mapping[str, HostMemory]) -> None:
        super().__init__()
        self._stretches = stretches

    def memory(self, key: str, layout: Layout, tensors: Mapping[int, torch.Tensor]) -> HostMemory:
        """The stretch of a part; another is made where there is none."""
        found = self._stretches.get(key)
        return super().memory(key, layout, tensors) if found is None else found


class Ballast(torch.nn.Module):
    """Stands for a part that no measured stage uses: it takes room, and that is all."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(size_bytes, dtype=torch.uint8), requires_grad=False)


def random_pattern() -> torch.Tensor:
    """Values that weights are cut from: drawing tens of billions would take minutes."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(_PATTERN_VALUES, generator=generator) * _DEVIATION


class _RandomTensors(Mapping[int, torch.Tensor]):
    """For every parameter of a layout a tensor whose rows are stretches of one pattern, each begun elsewhere."""

    def __init__(self, layout: Layout, pattern: torch.Tensor) -> None:
        self._slots = {id(slot.tensor): slot for unit in layout.units for slot in unit.slots}
        self._patterns = {dtype: pattern.to(dtype) for dtype in {slot.dtype for slot in self._slots.values()}}

    def __getitem__(self, key: int) -> torch.Tensor:
        slot = self._slots[key]
        rows = slot.shape[0] if len(slot.shape) > 1 else 1
        return _overlapping(self._patterns[slot.dtype], rows, slot.shape.numel() // max(1, rows)).view(slot.shape)

    def __iter__(self) -> Iterator[int]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)


def _overlapping(pattern: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    step = (pattern.numel() - columns) // max(1, rows)
    if step < 1:
        raise ValueError(f"{rows} rows of {columns} are more than there are random values for")
    return pattern.as_strided((rows, columns), (step, 1))


def _places(layout: Layout, stretch: torch.Tensor) -> Iterator[tuple[Slot, torch.Tensor]]:
    for unit in layout.units:
        for slot in unit.slots:
            yield slot, stretch[unit.begin : unit.begin + unit.size_bytes]
