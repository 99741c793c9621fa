"""Carries a plan out: moves parts to where the plan wants them and lends them to the stages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class PlacedParts:
    """The loaded parts of one model, each where its plan says."""

    def __init__(self, modules: Mapping[str, torch.nn.Module], placements: Mapping[str, str], *, device: str) -> None:
        self.device = torch.device(device)
        self.placements = dict(placements)
        self._modules = {name: module.to(self.device) for name, module in modules.items()}

    def __getitem__(self, name: str) -> torch.nn.Module:
        return self._modules[name]

    @contextmanager
    def use(self, names: tuple[str, ...]) -> Iterator[Mapping[str, torch.nn.Module]]:
        """The named parts on the device, for as long as the block lasts."""
        yield {name: self._modules[name] for name in names}

    def synchronize(self) -> None:
        """Wait for the device, so that a stage's time is the time of its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def release_cache(self) -> None:
        """Give the allocator's unused blocks back to the device."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
