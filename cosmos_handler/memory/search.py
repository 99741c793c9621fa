"""Finds the plan of a run: the fastest of those that fit.

Pure arithmetic over sizes, stages and a machine. A placement is good for a whole group of parts, which are the rows of
NVIDIA's tables; every combination is tried.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Literal

from cosmos_handler.memory.costs import bytes_in_stage, lost_seconds, own_placement, seconds_of
from cosmos_handler.memory.plan import NothingFits, Plan, StagePlan, gib
from cosmos_handler.memory.sheet import PartSheet, StageSheet
from cosmos_handler.messages.machine import DecodeMode, Machine, Placement


@dataclass(frozen=True)
class Rules:
    """Which placements may be tried. fixed: of groups, as (group, placement). name: who says so, in a word."""

    fixed: tuple[tuple[str, Placement], ...] = ()
    name: str = "auto"

    def options(self, group: str, parts: Sequence[PartSheet]) -> tuple[Placement, ...]:
        """The placements of a group that are tried, the usual one first."""
        for name, placement in self.fixed:
            if name == group:
                return (placement,)
        can_stream = any(part.num_blocks for part in parts)
        return ("resident", "swapped", "streamed", "disk") if can_stream else ("resident", "swapped", "disk")


@lru_cache(maxsize=256)
def choose(
    parts: tuple[PartSheet, ...], stages: tuple[StageSheet, ...], machine: Machine, rules: Rules = Rules()
) -> Plan:
    """The fastest plan that fits. Tiled decoding, which changes pixels, is tried only where nothing else fits.

    Raises NothingFits.
    """
    failed: NothingFits | None = None
    for decode in _decode_modes(stages):
        try:
            return _Search(parts, _in_mode(stages, decode), machine, rules, decode).best()
        except NothingFits as error:
            failed = failed or error
    if failed is None:
        raise AssertionError("no way to decode was tried: this is a bug")
    raise failed


def step_down(plan: Plan, parts: tuple[PartSheet, ...], stages: tuple[StageSheet, ...], rules: Rules) -> Plan:
    """The next plan down the ladder: the fastest that takes a twentieth less of the device than this one.

    stages: with what has been learned since that plan was made. Raises NothingFits.
    """
    smaller = plan.machine.model_copy(update={"device_bytes": plan.peak_bytes * 19 // 20})
    lower = choose(parts, stages, smaller, rules)
    return replace(lower, machine=plan.machine)


def _decode_modes(stages: Iterable[StageSheet]) -> tuple[DecodeMode, ...]:
    tiled = any(stage.tiled_working_bytes is not None for stage in stages)
    return ("exact", "tiled") if tiled else ("exact",)


def _in_mode(stages: tuple[StageSheet, ...], decode: DecodeMode) -> tuple[StageSheet, ...]:
    if decode == "exact":
        return stages
    return tuple(
        stage if stage.tiled_working_bytes is None else replace(stage, working_bytes=stage.tiled_working_bytes)
        for stage in stages
    )


@dataclass(frozen=True)
class _Choice:
    """A group under one placement: what of it each stage has on the device, and what it asks of the host.

    stage_bytes: for each stage. lost_seconds: with nothing fetched ahead.
    """

    placements: tuple[tuple[str, Placement], ...]
    resident_bytes: int
    stage_bytes: tuple[int, ...]
    host_bytes: int
    lost_seconds: float


class _Search:
    """One search over the placements of the groups."""

    def __init__(
        self,
        parts: tuple[PartSheet, ...],
        stages: tuple[StageSheet, ...],
        machine: Machine,
        rules: Rules,
        decode: DecodeMode,
    ) -> None:
        self._parts, self._stages, self._machine, self._rules, self._decode = parts, stages, machine, rules, decode
        used = {key for stage in stages for key in stage.parts}
        self._used = tuple(part for part in parts if part.key in used)
        self._idle = tuple(part for part in parts if part.key not in used)
        self._compute = tuple(seconds_of(stage.work, machine) for stage in stages)

    def best(self) -> Plan:
        """The fastest combination that fits, the parts that the run does not use beside it."""
        fitting: tuple[tuple[float, int, int], Mapping[str, Placement]] | None = None
        closest: tuple[tuple[int, int], Mapping[str, Placement], Literal["device", "host"]] | None = None
        most_hidden = sum(self._compute)
        for combination in product(*self._choices()):
            resident = sum(choice.resident_bytes for choice in combination)
            peaks = [
                resident + stage.working_bytes + sum(choice.stage_bytes[number] for choice in combination)
                for number, stage in enumerate(self._stages)
            ]
            peak, host = max(peaks, default=resident), sum(choice.host_bytes for choice in combination)
            over_device, over_host = max(0, peak - self._machine.device_bytes), max(0, host - self._machine.host_bytes)
            placements = {key: placement for choice in combination for key, placement in choice.placements}
            if over_device or over_host:
                lack = (over_device + over_host, peak)
                if closest is None or lack < closest[0]:
                    closest = (lack, placements, "device" if over_device else "host")
                continue
            if fitting is not None and sum(choice.lost_seconds for choice in combination) - most_hidden > fitting[0][0]:
                continue  # not even with all of it hidden
            lost = sum(stage.copy_seconds for stage in self._planned(placements, peaks))
            rank = (round(lost, 6), host, peak)
            if fitting is None or rank < fitting[0]:
                fitting = (rank, placements)
        if fitting is not None:
            return self._plan(self._with_idle(fitting[1]))
        if closest is None:
            raise AssertionError("no placement was tried: this is a bug")
        plan = self._plan({**closest[1], **{part.key: "disk" for part in self._idle}})
        raise NothingFits(plan, self._problem(plan, closest[2]))

    def _choices(self) -> list[list[_Choice]]:
        groups: dict[str, list[PartSheet]] = {}
        for part in self._used:
            groups.setdefault(part.group, []).append(part)
        return [
            [self._choice(parts, placement) for placement in self._rules.options(group, parts)]
            for group, parts in groups.items()
        ]

    def _choice(self, parts: Sequence[PartSheet], placement: Placement) -> _Choice:
        # In a group that is streamed, a part without blocks is swapped.
        placed = [(part, own_placement(part, placement)) for part in parts]
        bytes_of = {part.key: bytes_in_stage(part, where) for part, where in placed}
        lost = sum(
            self._lost_seconds(part, where, number)
            for number, stage in enumerate(self._stages)
            for part, where in placed
            if part.key in stage.parts
        )
        return _Choice(
            placements=tuple((part.key, where) for part, where in placed),
            resident_bytes=sum(part.size_bytes for part, where in placed if where == "resident"),
            stage_bytes=tuple(sum(bytes_of.get(key, 0) for key in stage.parts) for stage in self._stages),
            host_bytes=sum(part.size_bytes for part, where in placed if where in ("swapped", "streamed")),
            lost_seconds=lost,
        )

    def _lost_seconds(self, part: PartSheet, placement: Placement, number: int) -> float:
        """What a stage waits for a part of it, with nothing fetched ahead."""
        previous = self._stages[number - 1] if number else None
        return lost_seconds(part, placement, self._stages[number], previous, self._machine, self._compute[number])

    def _planned(self, placements: Mapping[str, Placement], peaks: Sequence[int]) -> list[StagePlan]:
        """The stages, with what fits of the next one's swapped parts fetched ahead."""
        by_key = {part.key: part for part in self._used}
        planned: list[StagePlan] = []
        hidden_seconds = 0.0
        for number, stage in enumerate(self._stages):
            lost = sum(self._lost_seconds(by_key[key], placements[key], number) for key in stage.parts)
            ahead = self._ahead(number, placements, by_key, room_bytes=self._machine.device_bytes - peaks[number])
            ahead_bytes = sum(by_key[key].size_bytes for key in ahead)
            planned.append(
                StagePlan(
                    name=stage.name,
                    weights_bytes=peaks[number] - stage.working_bytes + ahead_bytes,
                    working_bytes=stage.working_bytes,
                    fetched_ahead=ahead,
                    compute_seconds=self._compute[number],
                    copy_seconds=max(0.0, lost - hidden_seconds),
                )
            )
            hidden_seconds = self._hidden(number, ahead, ahead_bytes)
        return planned

    def _hidden(self, number: int, ahead: tuple[str, ...], ahead_bytes: int) -> float:
        """How many of the next stage's seconds of copying pass while this stage works."""
        if not ahead:
            return 0.0
        entries = self._stages[number + 1].num_entries
        return min(entries * ahead_bytes / self._machine.link_bytes_per_second, self._compute[number])

    def _ahead(
        self, number: int, placements: Mapping[str, Placement], by_key: Mapping[str, PartSheet], *, room_bytes: int
    ) -> tuple[str, ...]:
        if number + 1 >= len(self._stages):
            return ()
        ahead = []
        for key in self._stages[number + 1].parts:
            if placements[key] != "swapped" or key in self._stages[number].parts:
                continue
            if by_key[key].size_bytes <= room_bytes:
                ahead.append(key)
                room_bytes -= by_key[key].size_bytes
        return tuple(ahead)

    def _with_idle(self, placements: Mapping[str, Placement]) -> dict[str, Placement]:
        """And those of other models: on the device where there is room, else in host memory, else on disk."""
        plan = self._plan(placements)
        device_left, host_left = (
            self._machine.device_bytes - plan.peak_bytes,
            self._machine.host_bytes - plan.host_bytes,
        )
        whole = dict(placements)
        for part in self._idle:
            allowed = self._rules.options(part.group, [part])
            if "resident" in allowed and part.size_bytes <= device_left:
                whole[part.key] = "resident"
                device_left -= part.size_bytes
            elif allowed != ("disk",) and part.size_bytes <= host_left:
                whole[part.key] = "swapped"
                host_left -= part.size_bytes
            else:
                whole[part.key] = "disk"
        return whole

    def _plan(self, placements: Mapping[str, Placement]) -> Plan:
        parts = tuple(part for part in self._parts if part.key in placements)
        resident = sum(part.size_bytes for part in parts if placements[part.key] == "resident")
        by_key = {part.key: part for part in parts}
        peaks = [
            resident + stage.working_bytes + sum(bytes_in_stage(by_key[key], placements[key]) for key in stage.parts)
            for stage in self._stages
        ]
        stages = tuple(self._planned(placements, peaks))
        return Plan(parts, placements, stages, self._machine, self._decode, self._rules.name)

    def _problem(self, plan: Plan, lacking: Literal["device", "host"]) -> str:
        if lacking == "host":
            return (
                f"{gib(plan.host_bytes).strip()} GiB of weights would have to lie in host memory, which has "
                f"{gib(self._machine.host_bytes).strip()} GiB for them"
            )
        most = max(plan.stages, key=lambda stage: stage.peak_bytes, default=None)
        where = f" in the stage {most.name}" if most is not None else ""
        return (
            f"it takes at least {gib(plan.peak_bytes).strip()} GiB of the device{where}, which has "
            f"{gib(self._machine.device_bytes).strip()} GiB"
        )
