"""The devices of one model process, and how it stands with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cosmos_handler.engine.child import Child
from cosmos_handler.engine.job import Job
from cosmos_handler.messages.machine import Machine

# Parts of gigabytes come and go: without it, what they leave would be of no use to others of another size.
_ALLOCATOR = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@dataclass
class Group:
    """The devices of one model process, and what it is doing.

    devices: ("cpu",) or indices of GPUs. machine: what it has to work with; None before it has been ready for once.
    heard_at: when its process last said something of its job, on the clock of the event loop.
    is_stuck: whether it was ended because it had not for too long.
    margins: for a stage, how many times the reckoned memory it takes, where that was learned.
    """

    devices: tuple[str, ...]
    child: Child | None = None
    ready: bool = False
    job: Job | None = None
    machine: Machine | None = None
    heard_at: float = 0.0
    is_stuck: bool = False
    margins: dict[str, float] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """The kind of device, in torch's word."""
        return "cpu" if self.devices == ("cpu",) else "cuda"

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The process sees its own devices only."""
        visible = "" if self.device == "cpu" else ",".join(self.devices)
        return {**_ALLOCATOR, **base, "CUDA_VISIBLE_DEVICES": visible}
