"""All that one model process has loaded: models, guardrails, the device they come to, and its machine."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from pydantic import BaseModel

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.errors import DoesNotFit
from cosmos_handler.families.base import Family
from cosmos_handler.families.embeddings import TextCache
from cosmos_handler.families.registry import family_class
from cosmos_handler.memory.components import load_part
from cosmos_handler.memory.host import SharedFiles
from cosmos_handler.memory.nearest import nearest_task
from cosmos_handler.memory.place import PlacedParts, Residence
from cosmos_handler.memory.plan import NothingFits, Plan
from cosmos_handler.memory.planning import House, fits, margin_name, plan_for
from cosmos_handler.memory.probe import measure_machine
from cosmos_handler.memory.usual import smallest_task, usual_task
from cosmos_handler.messages.machine import Machine
from cosmos_handler.messages.wire import Learned, Loading, Setup
from cosmos_handler.worker.guarding import Guards

log = logging.getLogger(__name__)

Send = Callable[[BaseModel], None]


class Loaded:
    """Raises SetupError where something cannot be loaded, or has no place."""

    def __init__(self, setup: Setup, *, send: Send) -> None:
        self._send = send
        if setup.cpu_threads is not None:
            torch.set_num_threads(setup.cpu_threads)
        self.checkpoints: Mapping[str, Checkpoint] = {checkpoint.name: checkpoint for checkpoint in setup.checkpoints}
        machine = measure_machine(
            setup.device, setup.memory, _weight_files(setup), shared_bytes=_shared_bytes(setup.host_files)
        )
        self.house = House(setup.checkpoints, setup.guardrails, machine, setup.memory, setup.margins)
        for part in self.house.unheeded():
            log.warning("COSMOS_PLACEMENT: %s is a part that none of the models has: this has no effect", part)
        self.text_cache = TextCache(setup.memory.text_cache_bytes)
        plan = _plan_at_rest(self.house)
        self.residence = Residence(setup.device, SharedFiles(setup.host_files))
        self.parts: dict[str, PlacedParts] = {}
        self.families: dict[str, Family] = {}
        for checkpoint in setup.checkpoints:
            self._load(checkpoint)
        self.guards = Guards(setup.guardrails, self.residence)
        self.residence.seal()
        self._settle(plan, setup)
        self.plan_at_rest = plan

    @property
    def machine(self) -> Machine:
        """What plans are held against."""
        return self.house.machine

    def learn(self, stage: str, times: float, *, batch_size: int) -> None:
        """A stage takes more than was planned: so many times as much beside the weights. The front hears of it."""
        name = margin_name(stage, batch_size)
        margin = times * self.house.margins.get(name, 1.0)
        self.house = self.house.with_margin(name, margin)
        self._send(Learned(stage=name, margin=margin))
        log.warning("from now on %.2f times the reckoned working memory is planned for %s", margin, name)

    def _load(self, checkpoint: Checkpoint) -> None:
        family = family_class(checkpoint.family)
        modules = {part.name: load_part(checkpoint, part, family.PART_CLASSES[part.name]) for part in checkpoint.parts}
        self.parts[checkpoint.name] = placed = self.residence.add(checkpoint.name, modules)
        self.families[checkpoint.name] = family(checkpoint, placed)

    def _settle(self, plan: Plan, setup: Setup) -> None:
        """Everything goes where it is at rest, and each part is reported as it gets there."""
        owners: tuple[Checkpoint | Guardrails, ...] = (*setup.checkpoints, setup.guardrails)
        sizes = {f"{owner.name}/{part.name}": part.size_bytes for owner in owners for part in owner.parts}
        spent: dict[str, float] = {}

        def placed(key: str, seconds: float) -> None:
            spent[key] = spent.get(key, 0.0) + seconds

        try:
            self.residence.apply(plan, on_placed=placed)
        except torch.OutOfMemoryError as error:
            raise DoesNotFit(
                f"the device has less room than it said; set COSMOS_DEVICE_MEMORY_BYTES\n{error}"
            ) from error
        for key, seconds in spent.items():
            owner, _, part = key.rpartition("/")
            self._send(Loading(model=owner, part=part, size_bytes=sizes[key], seconds=seconds))


def _plan_at_rest(house: House) -> Plan:
    """The plan of the first model's usual request, or of the nearest that fits. Raises DoesNotFit where none does."""
    first = house.checkpoints[0]
    for checkpoint in reversed(house.checkpoints):
        task = usual_task(checkpoint)
        try:
            plan = plan_for(task, checkpoint.name, house)
        except NothingFits as error:
            log.warning("%s: its usual request does not fit: %s", checkpoint.name, error.problem)
            plan = _plan_of_less(checkpoint, house)
        if checkpoint is first:
            return plan
    raise DoesNotFit("there is no model to serve")


def _plan_of_less(checkpoint: Checkpoint, house: House) -> Plan:
    name = checkpoint.name
    smaller = nearest_task(usual_task(checkpoint), lambda task: fits(task, name, house)) or smallest_task(checkpoint)
    try:
        return plan_for(smaller, name, house)
    except NothingFits as error:
        raise DoesNotFit(f"{name}: {error.problem}, whatever is asked for\n{error.closest.table()}") from None


def _weight_files(setup: Setup) -> list[Path]:
    return [Path(owner.path, file) for owner in setup.checkpoints for part in owner.parts for file in part.files]


def _shared_bytes(host_files: Mapping[str, int]) -> int:
    return sum(os.fstat(descriptor).st_size for descriptor in host_files.values())
