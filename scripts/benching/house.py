"""One model loaded as a server has it, with random weights, and runs of it under one plan after the other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cosmos_handler.families.autoregressive.runner import Autoregressive
from cosmos_handler.families.base import Context, Family
from cosmos_handler.families.predict.runner import Predict25
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts, Residence
from cosmos_handler.memory.plan import Plan
from scripts.benching import predict1
from scripts.benching.meters import AllocatorPeak, Clock, Peak, settle, timed
from scripts.benching.outcome import Taken
from scripts.benching.subjects import Subject
from scripts.benching.weights import Ballast, Prepared, RandomPart, random_pattern

FAMILIES: Mapping[str, type[Family]] = {"predict2.5": Predict25, "autoregressive": Autoregressive}


def classes_of(subject: Subject) -> Mapping[str, PartClass]:
    """The classes of a model's networks."""
    return predict1.PARTS if subject.checkpoint is None else FAMILIES[subject.checkpoint.family].PART_CLASSES


class House:
    """Raises ValueError where a network is not what the plans reckon with."""

    def __init__(self, subject: Subject, folder: Path, device: torch.device, peak: Peak | None = None) -> None:
        """folder: with tokenizers and scheduler, which the families read. peak: what measures; the allocator's own."""
        self.subject = subject.with_folders(folder)
        self.device = device
        self._peak: Any = peak or AllocatorPeak(device)
        pattern, classes = random_pattern(), classes_of(subject)
        self.weights = {part.name: RandomPart(part, classes[part.name], pattern) for part in subject.parts}
        owner = subject.name
        stretches = {f"{owner}/{name}": weights.host for name, weights in self.weights.items()}
        self.residence = Residence(str(device), Prepared(stretches))
        self._parts = self.residence.add(owner, self.modules())
        ballast = {part.name: Ballast(part.size_bytes) for part in subject.guardrails.parts}
        self.residence.add(subject.guardrails.name, ballast)
        self.residence.seal()

    @property
    def size_bytes(self) -> int:
        """Of the networks' weights."""
        return sum(weights.size_bytes for weights in self.weights.values())

    def modules(self) -> dict[str, torch.nn.Module]:
        """New modules over the weights as they lie in host memory."""
        return {name: weights.module() for name, weights in self.weights.items()}

    def warm_up(self, plan: Plan) -> None:
        """Have the libraries load what they load at first use. plan: of the smallest request, everything resident."""
        self.residence.apply(plan)
        self._run(self.subject.smallest(), plan, Clock(self.device))

    def measure(self, plan: Plan) -> Taken:
        """One run. Placing everything comes before it, as in a server that has done such a run before."""
        self.residence.apply(plan)
        settle(self.device)
        clock = Clock(self.device)
        context, seconds = self._run(self.subject, plan, clock)
        peaks = context.stage_peak_bytes
        stages = {name: (peaks.get(name), spent) for name, spent in context.stage_seconds.items()}
        return Taken(
            seconds=seconds,
            seconds_per_step=clock.seconds_per_step(),
            peak_bytes=max(peaks.values(), default=None),
            driver_bytes=clock.driver_bytes,
            stages=stages,
            seconds_per_token=clock.seconds_per_token(),
        )

    def leave_device(self) -> None:
        """Nothing of it is on the device any more, and what was swapped or streamed can be copied by others as well."""
        self.residence.clear()
        for weights in self.weights.values():
            if self.device.type == "cuda":
                weights.host.pin()
        settle(self.device)

    def close(self) -> None:
        """Give all memory back."""
        self.residence.clear()
        settle(self.device)  # no copy is under way any more
        for weights in self.weights.values():
            weights.close()

    def _run(self, subject: Subject, plan: Plan, clock: Clock) -> tuple[Context, float]:
        family = _family(subject, self._parts)  # a new one each time: it remembers what the VAE made of no picture
        context = Context(
            parts=self._parts,
            is_cancelled=lambda: False,
            on_progress=clock.on_progress,
            on_words=lambda text, reasoning: None,
            decode_mode=plan.decode,
            spare_bytes=plan.spare_bytes,
            peak=self._peak,
        )
        seconds = timed(lambda: family.run(subject.task, context), self.device)
        clock.on_progress("done", 0, 0)
        return context, seconds


def _family(subject: Subject, parts: PlacedParts) -> Any:
    if subject.checkpoint is not None:
        return FAMILIES[subject.checkpoint.family](subject.checkpoint, parts)
    return predict1.Predict1({name: parts[name] for name in predict1.PARTS})
