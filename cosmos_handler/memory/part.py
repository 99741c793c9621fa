"""One loaded part: where its weights lie, and how they come to the device and go."""

from typing import Literal

import torch

from cosmos_handler.memory.away import put_away, show
from cosmos_handler.memory.host import HostMemory, SharedFiles
from cosmos_handler.memory.lanes import Lane, Mark
from cosmos_handler.memory.layout import Slot, Unit, lay_out
from cosmos_handler.memory.stream import Blocks, BlockStream
from cosmos_handler.messages.machine import Placement


class LoadedPart:
    """The weights of one module, which no run writes to: moving them out is forgetting them.

    state: "away", "coming" (fetched ahead), "whole" (on the device), or "flowing" (block by block).
    """

    def __init__(self, key: str, module: torch.nn.Module, lane: Lane, shared: SharedFiles) -> None:
        """The module as its loader left it, mapped from its files: that takes no memory before it is read."""
        self.key = key
        self.module = module
        self.placement: Placement = "resident"
        self.state: Literal["away", "coming", "whole", "flowing"] = "whole"
        self._lane = lane
        self._shared = shared
        self._surfaces = [module]
        self._host: HostMemory | None = None
        self._memory: list[torch.Tensor] = []
        self._stream: BlockStream | None = None
        self._arriving: Mark | None = None

    def add_surface(self, model: torch.nn.Module) -> None:
        """Another model over the same parameters, through which they are used as well."""
        self._surfaces.append(model)

    def seal(self) -> None:
        """No parameter is added or replaced from now on. What is no parameter goes to the device for good."""
        self._layout = lay_out(self.module)
        self._blocks = Blocks(self._surfaces, tuple(self._layout.blocks.values()))
        # As they lie in their files, or as the loader made them where their type was another.
        self._files = {id(slot.tensor): slot.tensor.data.cpu() for unit in self._layout.units for slot in unit.slots}
        for surface in self._surfaces:
            for buffer in surface.buffers():
                buffer.data = buffer.data.to(self._lane.device)
        if self._lane.device.type != "cpu":
            self.leave()

    def place(self, placement: Placement) -> None:
        """Where it is to lie from now on; it does not come yet."""
        if placement in ("swapped", "streamed") and self._host is None:
            self._to_host()
        flows = placement == "streamed" and bool(self._blocks.units)
        if (self.state == "flowing" and not flows) or (self.state in ("whole", "coming") and flows):
            self.leave()
        self.placement = placement

    def fetch(self) -> None:
        """Begin to bring the whole of it, and do not wait. Raises torch.OutOfMemoryError."""
        if self.state != "away":
            return
        try:
            for unit in self._layout.units:
                memory = self._lane.allocate(unit.size_bytes)
                self._memory.append(memory)
                self._copy(unit, memory)
        except torch.OutOfMemoryError:
            self.leave()
            raise
        self._arriving = self._lane.mark()
        self.state = "coming"

    def come(self) -> None:
        """Have it on the device, whole or in flight. Raises torch.OutOfMemoryError."""
        if self.state in ("whole", "flowing"):
            return
        if self.placement == "streamed" and self._blocks.units:
            self._flow()
            return
        self.fetch()
        if self._arriving is not None:
            self._arriving.wait()
        for unit, memory in zip(self._layout.units, self._memory, strict=True):
            show(unit, memory)
        self.state = "whole"

    def leave(self) -> None:
        """Take it from the device; harmless when it is away."""
        if self._stream is not None:
            self._stream.close()
        self._lane.join()
        self._stream, self._memory, self._arriving = None, [], None
        for unit in self._layout.units:
            put_away(unit, self._lane.device)
        self.state = "away"

    def _flow(self) -> None:
        rest = self._layout.rest
        try:
            memory = self._lane.allocate(rest.size_bytes)
            self._memory.append(memory)
            self._copy(rest, memory)
            arrived = self._lane.mark()
            self._stream = BlockStream(self._blocks, self._lane, self._copy)
        except torch.OutOfMemoryError:
            self.leave()
            raise
        arrived.wait()
        show(rest, memory)
        self.state = "flowing"

    def _copy(self, unit: Unit, memory: torch.Tensor) -> None:
        """Queue the copy of a unit's tensors to the device: in one piece, where all of them lie together."""
        if self._host is not None and unit.is_whole:
            stretch = self._host.bytes[unit.begin : unit.begin + unit.size_bytes]
            self._lane.copy(memory[: unit.size_bytes], stretch)
            return
        for slot in unit.slots:
            self._lane.copy(slot.view(memory), self._source(unit, slot))

    def _source(self, unit: Unit, slot: Slot) -> torch.Tensor:
        if self._host is None:
            return self._files[id(slot.tensor)]
        return slot.view(self._host.bytes[unit.begin : unit.begin + unit.size_bytes])

    def _to_host(self) -> None:
        """Once for the life of the process: from the files to memory that the device reads directly."""
        self._host = self._shared.memory(self.key, self._layout, self._files)
        if self._lane.device.type == "cuda":
            self._host.pin()
        self._files = {}  # what is on the device keeps its own
