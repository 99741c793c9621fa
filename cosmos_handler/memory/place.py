"""Carries plans out: has on the device what a stage needs, and nothing of what it has no room for."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from cosmos_handler.memory.host import SharedFiles
from cosmos_handler.memory.lanes import Lane
from cosmos_handler.memory.part import LoadedPart
from cosmos_handler.memory.plan import Plan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Need:
    """What the block that runs has asked for."""

    keys: tuple[str, ...]
    lazily: bool


class Residence:
    """All parts of one process, whoever's they are, and its device.

    Parts that have left a stage stay until another needs the room, so that nothing goes that is about to be needed.
    """

    def __init__(self, device: str, shared: SharedFiles | None = None) -> None:
        self.device = torch.device(device)
        self._lane = Lane(self.device)
        self._shared = shared or SharedFiles()
        self._parts: dict[str, LoadedPart] = {}
        self._plan: Plan | None = None
        self._stages: list[str] = []
        self._needed: list[_Need] = []

    def add(self, owner: str, modules: Mapping[str, torch.nn.Module]) -> "PlacedParts":
        """The parts of a model as they were loaded, on the CPU."""
        for name, module in modules.items():
            key = f"{owner}/{name}"
            self._parts[key] = LoadedPart(key, module, self._lane, self._shared)
        return PlacedParts(self, owner, modules)

    def add_surface(self, key: str, model: torch.nn.Module) -> None:
        """Another model over the parameters of a part."""
        self._parts[key].add_surface(model)

    def seal(self) -> None:
        """Everything is loaded: no parameter is added or replaced from now on."""
        for part in self._parts.values():
            part.seal()
            part.module.register_forward_pre_hook(self._lazy(part))

    def apply(self, plan: Plan, *, on_placed: Callable[[str, float], None] = lambda key, seconds: None) -> None:
        """Place everything as a plan has it. Raises torch.OutOfMemoryError where that is not true to its word.

        on_placed: told of every part, and of those that come to stay once more, with the seconds that it took.
        """
        self._plan = plan
        for key, part in self._parts.items():
            began = time.perf_counter()
            part.place(plan.placements[key])
            on_placed(key, time.perf_counter() - began)
        coming = [part for part in self._parts.values() if part.placement == "resident" and part.state != "whole"]
        if coming:
            self._make_room(keep=())
        for part in coming:
            began = time.perf_counter()
            part.come()
            on_placed(part.key, time.perf_counter() - began)

    def clear(self) -> None:
        """Take everything from the device, as after it ran out of memory."""
        for part in self._parts.values():
            if part.state != "away":
                part.leave()
        self.release_cache()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage of the plan: what it fetches ahead comes once its own parts are there."""
        self._stages.append(name)
        try:
            yield
        finally:
            self._stages.pop()

    @contextmanager
    def use(self, keys: tuple[str, ...], *, lazily: bool = False) -> Iterator[None]:
        """Some parts on the device for as long as the block lasts; lazily: each comes when it is first called."""
        self._needed.append(_Need(keys, lazily))
        try:
            if lazily:
                self._make_room(keep=(*keys, *self._ahead()))
            else:
                self._bring(keys)
            yield
        finally:
            self._needed.pop()
        # Those around it, which may have made room; lazy ones come when they are called again.
        if self._needed and self._needed[-1].keys and not self._needed[-1].lazily:
            self._bring(self._needed[-1].keys)

    def synchronize(self) -> None:
        """Wait for the device, so that a stage's time is the time of its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def release_cache(self) -> None:
        """Give the allocator's unused blocks back to the device."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _lazy(self, part: LoadedPart) -> Any:
        def before(module: torch.nn.Module, arguments: Any) -> None:
            if part.state in ("whole", "flowing"):
                return
            if not self._needed or part.key not in self._needed[-1].keys:
                raise RuntimeError(f"{part.key} was called outside of a stage that has it: this is a bug")
            self._bring(self._needed[-1].keys)

        return before

    def _bring(self, keys: Sequence[str]) -> None:
        if not keys and not self._is_planned:
            return  # a stage of the host alone, which need not take from the device what may be used again
        with torch.inference_mode(mode=False):
            ahead = self._ahead()
            self._make_room(keep=(*keys, *ahead))
            for key in keys:
                self._parts[key].come()
            for key in ahead:
                try:
                    self._parts[key].fetch()
                except torch.OutOfMemoryError:  # it comes in its own stage then, when others have left
                    log.info("no room to fetch %s ahead", key)

    @property
    def _is_planned(self) -> bool:
        """Whether the plan reckons with work on the device in the present stage."""
        return bool(self._stages) and self._plan is not None and self._plan.stage(self._stages[-1]) is not None

    def _ahead(self) -> tuple[str, ...]:
        """What the plan has the innermost stage that it knows fetch."""
        if self._plan is None:
            return ()
        planned = (self._plan.stage(name) for name in reversed(self._stages))
        return next((stage.fetched_ahead for stage in planned if stage is not None), ())

    def _make_room(self, *, keep: Sequence[str]) -> None:
        for key, part in self._parts.items():
            if key not in keep and part.placement != "resident" and part.state != "away":
                part.leave()


class PlacedParts:
    """The loaded parts of one model, each where the plan of the present run says."""

    def __init__(self, residence: Residence, owner: str, modules: Mapping[str, torch.nn.Module]) -> None:
        self.residence = residence
        self._owner = owner
        self._modules = dict(modules)

    @property
    def device(self) -> torch.device:
        """Where the work is done."""
        return self.residence.device

    def __getitem__(self, name: str) -> torch.nn.Module:
        return self._modules[name]

    def add_surface(self, name: str, model: torch.nn.Module) -> None:
        """Another model over the parameters of a part, through which they are used as well."""
        self.residence.add_surface(f"{self._owner}/{name}", model)

    @contextmanager
    def use(self, names: tuple[str, ...], *, lazily: bool = False) -> Iterator[Mapping[str, torch.nn.Module]]:
        """The named parts on the device, for as long as the block lasts.

        lazily: they come when they are first called, and are away while a block inside of this one has others.
        """
        with self.residence.use(tuple(f"{self._owner}/{name}" for name in names), lazily=lazily):
            yield {name: self._modules[name] for name in names}

    def stage(self, name: str) -> Any:
        """A stage of the plan begins."""
        return self.residence.stage(name)

    def synchronize(self) -> None:
        """Wait for the device, so that a stage's time is the time of its work."""
        self.residence.synchronize()

    def release_cache(self) -> None:
        """Give the allocator's unused blocks back to the device."""
        self.residence.release_cache()
