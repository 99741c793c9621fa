"""How the tensors of a part lie in one stretch of memory: what is no block first, then block after block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from cosmos_handler.artifacts.checkpoint import BLOCK_SERIES
from cosmos_handler.memory.sheet import ALIGNMENT_BYTES


@dataclass(frozen=True)
class Slot:
    """The place of one tensor in its unit. tensor: the parameter itself, whose data come and go."""

    tensor: torch.Tensor
    offset: int
    size_bytes: int
    dtype: torch.dtype
    shape: torch.Size

    def view(self, memory: torch.Tensor) -> torch.Tensor:
        """The tensor in a unit's memory, uint8 of at least the unit's size."""
        return memory[self.offset : self.offset + self.size_bytes].view(self.dtype).view(self.shape)


@dataclass(frozen=True)
class Unit:
    """Tensors that come and go together. begin: in the part's memory on the host. is_whole: no tensor is left out."""

    slots: tuple[Slot, ...]
    begin: int
    size_bytes: int
    is_whole: bool = True

    def only(self, tensors: Sequence[torch.Tensor]) -> "Unit":
        """The same place with some of the tensors."""
        wanted = {id(tensor) for tensor in tensors}
        kept = tuple(slot for slot in self.slots if id(slot.tensor) in wanted)
        return Unit(kept, self.begin, self.size_bytes, is_whole=len(kept) == len(self.slots))


@dataclass(frozen=True)
class Layout:
    """A part: its rest, and its blocks by the module that each one is."""

    rest: Unit
    blocks: Mapping[torch.nn.Module, Unit]

    @property
    def units(self) -> tuple[Unit, ...]:
        """All of them, in the order of their places."""
        return (self.rest, *self.blocks.values())

    @property
    def size_bytes(self) -> int:
        """Of the whole part."""
        return sum(unit.size_bytes for unit in self.units)


def lay_out(module: torch.nn.Module) -> Layout:
    """The layout of a module's parameters, each once however often it is used."""
    blocks: dict[torch.nn.Module, Unit] = {}
    seen: set[int] = set()
    in_blocks = [(block, list(block.parameters())) for series in block_series(module) for block in series]
    taken = {id(tensor) for _, tensors in in_blocks for tensor in tensors}
    rest = _unit([tensor for tensor in module.parameters() if id(tensor) not in taken], 0, seen)
    begin = rest.size_bytes
    for block, tensors in in_blocks:
        blocks[block] = _unit(tensors, begin, seen)
        begin += blocks[block].size_bytes
    return Layout(rest, blocks)


def block_series(module: torch.nn.Module) -> Iterator[Sequence[torch.nn.Module]]:
    """The lists of blocks that a module goes through one by one, the outermost only."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.ModuleList) and name in BLOCK_SERIES:
            yield tuple(child)
        else:
            yield from block_series(child)


def _unit(tensors: Sequence[torch.Tensor], begin: int, seen: set[int]) -> Unit:
    slots, offset = [], 0
    # Large ones first, whose sizes keep those behind them at places that are better than they have to be.
    for tensor in sorted(tensors, key=lambda tensor: tensor.nbytes, reverse=True):
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        slots.append(Slot(tensor, offset, tensor.nbytes, tensor.dtype, tensor.shape))
        offset += -(-tensor.nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    return Unit(tuple(slots), begin, offset)
