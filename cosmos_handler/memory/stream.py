"""Streaming: the blocks of a part come to the device one after the other, the next while one works.

Two blocks are on their way or at work at any time. When a block is done, the one after the next takes its memory, and
after the last one of a series the first: a denoising step goes through them again and again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cosmos_handler.memory.away import put_away, show
from cosmos_handler.memory.lanes import Lane, Mark
from cosmos_handler.memory.layout import Unit, block_series

# One at work, one on its way.
_IN_FLIGHT = 2

# Queues the copy of a unit's tensors into memory on the device.
Fetch = Callable[[Unit, torch.Tensor], None]


@dataclass
class _Place:
    """Memory for one block, and which one is in it."""

    memory: torch.Tensor
    block: torch.nn.Module | None = None
    arrived: Mark | None = None


class Blocks:
    """The blocks of one part, as the models over its parameters go through them.

    models: the part's own module first, then others. units: the places of the part's blocks.
    """

    def __init__(self, models: Sequence[torch.nn.Module], units: Sequence[Unit]) -> None:
        place_of = {id(slot.tensor): unit for unit in units for slot in unit.slots}
        self.units: dict[torch.nn.Module, Unit] = {}
        self.following: dict[torch.nn.Module, torch.nn.Module] = {}
        for model in models:
            for series in block_series(model):
                self._add(series, place_of)
        self.first = tuple(self.units)[:_IN_FLIGHT]
        self.largest_bytes = max((unit.size_bytes for unit in units), default=0)

    def _add(self, series: Sequence[torch.nn.Module], place_of: Mapping[int, Unit]) -> None:
        mine = [block for block in series if any(id(tensor) in place_of for tensor in block.parameters())]
        for number, block in enumerate(mine):
            tensors = [tensor for tensor in block.parameters() if id(tensor) in place_of]
            self.units[block] = place_of[id(tensors[0])].only(tensors)
            self.following[block] = mine[(number + _IN_FLIGHT) % len(mine)]

    def neighbour(self, block: torch.nn.Module) -> torch.nn.Module | None:
        """The block after one that was not expected, be it the first of the next series."""
        blocks = list(self.units)
        following = blocks.index(block) + 1
        return blocks[following] if following < len(blocks) else None


class BlockStream:
    """A model whose blocks come and go, from the moment that this is made until it is closed."""

    def __init__(self, blocks: Blocks, lane: Lane, fetch: Fetch) -> None:
        """Raises torch.OutOfMemoryError where there is no room for the two places."""
        self._blocks, self._lane, self._fetch = blocks, lane, fetch
        self._places = [_Place(lane.allocate(blocks.largest_bytes)) for _ in blocks.first]
        for place, block in zip(self._places, blocks.first, strict=True):
            self._send(block, place)
        self._hooks: list[Any] = []
        for block in blocks.units:
            self._hooks.append(block.register_forward_pre_hook(self._before))
            self._hooks.append(block.register_forward_hook(self._after))

    def close(self) -> None:
        """Give the memory back."""
        for hook in self._hooks:
            hook.remove()
        for place in self._places:
            self._vacate(place)
        self._lane.join()
        self._places = []

    def _before(self, block: torch.nn.Module, arguments: Any) -> None:
        place = self._place_of(block)
        if place is None:
            place = self._surprise(block)
        if place.arrived is not None:
            place.arrived.wait()
        show(self._blocks.units[block], place.memory)

    def _after(self, block: torch.nn.Module, arguments: Any, output: Any) -> None:
        following = self._blocks.following[block]
        place = self._place_of(block)
        if place is None or self._place_of(following) is not None:
            return  # as few blocks as there are places: they stay
        self._vacate(place)
        self._lane.after_work()  # the block's own kernels may still be reading
        self._send(following, place)

    def _surprise(self, block: torch.nn.Module) -> _Place:
        """A place for a block that nobody expected: of another series, or after a forward that was broken off."""
        wanted = [block]
        neighbour = self._blocks.neighbour(block)
        if neighbour is not None:
            wanted.append(neighbour)
        self._lane.after_work()
        for place, coming in zip(self._places, wanted, strict=False):
            self._vacate(place)
            self._send(coming, place)
        return self._places[0]

    def _send(self, block: torch.nn.Module, place: _Place) -> None:
        place.block = block
        self._fetch(self._blocks.units[block], place.memory)
        place.arrived = self._lane.mark()

    def _vacate(self, place: _Place) -> None:
        if place.block is not None:
            put_away(self._blocks.units[place.block], self._lane.device)
        place.block = None

    def _place_of(self, block: torch.nn.Module) -> _Place | None:
        return next((place for place in self._places if place.block is block), None)
