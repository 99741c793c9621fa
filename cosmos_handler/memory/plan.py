"""The memory plan of a run: where every part lies, what each stage takes at its most, and what copying costs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cosmos_handler.memory.sheet import PartSheet
from cosmos_handler.messages.machine import DecodeMode, Machine, Placement

_SECONDS_DIGITS = 6


@dataclass(frozen=True)
class StagePlan:
    """One stage under a plan.

    weights_bytes: on the device in it, those that are fetched ahead for the next stage included.
    fetched_ahead: keys of those. copy_seconds: how long the work waits for weights.
    """

    name: str
    weights_bytes: int
    working_bytes: int
    fetched_ahead: tuple[str, ...]
    compute_seconds: float
    copy_seconds: float

    @property
    def peak_bytes(self) -> int:
        """The most that the device holds."""
        return self.weights_bytes + self.working_bytes

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.compute_seconds + self.copy_seconds


@dataclass(frozen=True)
class Plan:
    """Where every part lies in a run, by key, and what follows from it. offload: who chose it, in a word."""

    parts: tuple[PartSheet, ...]
    placements: Mapping[str, Placement]
    stages: tuple[StagePlan, ...]
    machine: Machine
    decode: DecodeMode
    offload: str

    @property
    def peak_bytes(self) -> int:
        """The most that the device holds in any stage."""
        return max((stage.peak_bytes for stage in self.stages), default=self.resident_bytes)

    @property
    def resident_bytes(self) -> int:
        """What stays on the device."""
        return sum(part.size_bytes for part in self.parts if self.placements[part.key] == "resident")

    @property
    def host_bytes(self) -> int:
        """What lies in host memory."""
        return sum(part.size_bytes for part in self.parts if self.placements[part.key] in ("swapped", "streamed"))

    @property
    def seconds(self) -> float:
        """How long the run takes."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def stage_seconds(self) -> Mapping[str, float]:
        """The same for each stage by its name, in their order."""
        seconds: dict[str, float] = {}
        for stage in self.stages:
            seconds[stage.name] = seconds.get(stage.name, 0.0) + stage.seconds
        return seconds

    @property
    def copy_seconds(self) -> float:
        """How much of that is waiting for weights."""
        return sum(stage.copy_seconds for stage in self.stages)

    @property
    def spare_bytes(self) -> int:
        """What the device has beside the weights of the stage in which it holds most of them."""
        held = max((stage.weights_bytes for stage in self.stages), default=self.resident_bytes)
        return self.machine.device_bytes - held

    def of(self, owner: str) -> dict[str, Placement]:
        """The placements of one owner's parts, by their names."""
        return {part.name: self.placements[part.key] for part in self.parts if part.owner == owner}

    def stage(self, name: str) -> StagePlan | None:
        """A stage by its name, with all that goes under it; None for one that is not planned."""
        named = [stage for stage in self.stages if stage.name == name]
        if not named:
            return None
        return replace(
            max(named, key=lambda stage: stage.peak_bytes),
            fetched_ahead=named[0].fetched_ahead,
            compute_seconds=sum(stage.compute_seconds for stage in named),
            copy_seconds=sum(stage.copy_seconds for stage in named),
        )

    def as_json(self) -> dict[str, Any]:
        """All of it for a program to read."""
        return {
            "offload": self.offload,
            "decode": self.decode,
            "machine": self.machine.model_dump(),
            "parts": [
                {
                    "model": part.owner,
                    "part": part.name,
                    "group": part.group,
                    "size_bytes": part.size_bytes,
                    "placement": self.placements[part.key],
                }
                for part in self.parts
            ],
            "stages": [
                {
                    "stage": stage.name,
                    "weights_bytes": stage.weights_bytes,
                    "working_bytes": stage.working_bytes,
                    "peak_bytes": stage.peak_bytes,
                    "seconds": round(stage.seconds, _SECONDS_DIGITS),
                    "copy_seconds": round(stage.copy_seconds, _SECONDS_DIGITS),
                }
                for stage in self.stages
            ],
            "peak_bytes": self.peak_bytes,
            "host_bytes": self.host_bytes,
            "seconds": round(self.seconds, _SECONDS_DIGITS),
            "copy_seconds": round(self.copy_seconds, _SECONDS_DIGITS),
        }

    def table(self) -> str:
        """All of it for a person to read."""
        owner, name = (max((len(each) for each in names), default=0) for names in self._names())
        lines = [f"  {'model':<{owner}} {'part':<{name}} {'GiB':>8}  placement"]
        lines += [
            f"  {part.owner:<{owner}} {part.name:<{name}} {gib(part.size_bytes)}  {self.placements[part.key]}"
            for part in self.parts
        ]
        lines += [
            "",
            f"  {'stage':<24} {'weights':>10} {'+ work':>10} {'= peak GiB':>11} {'seconds':>10} {'of it copying':>14}",
        ]
        lines += [
            f"  {stage.name:<24} {gib(stage.weights_bytes):>10} {gib(stage.working_bytes):>10} "
            f"{gib(stage.peak_bytes):>11} {stage.seconds:>10.2f} {stage.copy_seconds:>14.2f}"
            for stage in self.stages
        ]
        lines += ["", f"  {self.summary()}"]
        return "\n".join(lines)

    def _names(self) -> tuple[list[str], list[str]]:
        return [part.owner for part in self.parts] + ["model"], [part.name for part in self.parts] + ["part"]

    def summary(self) -> str:
        """The plan in a line."""
        machine = self.machine
        return (
            f"offload {self.offload}, decode {self.decode}: {gib(self.peak_bytes).strip()} GiB at most of "
            f"{gib(machine.device_bytes).strip()} on {machine.name}, {gib(self.host_bytes).strip()} GiB of the host's "
            f"{gib(machine.host_bytes).strip()}, about {self.seconds:.1f} s of which {self.copy_seconds:.2f} copying"
        )


class NothingFits(Exception):
    """No placement that is allowed fits. closest: the plan that lacks least; problem: what it lacks, in words."""

    def __init__(self, closest: Plan, problem: str) -> None:
        super().__init__(problem)
        self.closest = closest
        self.problem = problem


def gib(size_bytes: int) -> str:
    """For a column of a table."""
    return f"{size_bytes / 2**30:8.2f}"
