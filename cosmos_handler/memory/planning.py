"""From a task and what is loaded to a plan: the one entry for both processes."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.memory.plan import NothingFits, Plan
from cosmos_handler.memory.presets import rules_for
from cosmos_handler.memory.search import choose, step_down
from cosmos_handler.memory.sheet import PartSheet, StageSheet
from cosmos_handler.memory.stages import part_sheets, stages_of
from cosmos_handler.messages.machine import Machine, MemoryWish
from cosmos_handler.messages.tasks import Answer, Generation, Task

# Prompts that a plan is tried for where a longer one does not fit.
_FEWER_TOKENS = tuple(2**power for power in range(17, 7, -1))


@dataclass(frozen=True)
class House:
    """What one model process has loaded, and what it may use.

    margins: by margin_name, how many times the predicted work a stage takes, where that was learned.
    """

    checkpoints: tuple[Checkpoint, ...]
    guardrails: Guardrails
    machine: Machine
    wish: MemoryWish
    margins: Mapping[str, float]

    def sheets(
        self, task: Task, model: str, *, prompt_tokens: int | None = None, batch_size: int = 1
    ) -> tuple[tuple[PartSheet, ...], tuple[StageSheet, ...]]:
        """The parts of the house and the stages of a task for one of its models.

        prompt_tokens: of a conversation; None: estimated, rather too many than too few.
        batch_size: how many like tasks are done together.
        """
        by_name = {checkpoint.name: checkpoint for checkpoint in self.checkpoints}
        upsampling = task.upsampling if isinstance(task, Generation) else None
        reasoner = by_name[upsampling.model] if upsampling is not None else None
        stages = stages_of(
            task, by_name[model], self.guardrails, reasoner, prompt_tokens=prompt_tokens, batch_size=batch_size
        )
        return part_sheets(self.checkpoints, self.guardrails, for_model=model), tuple(self._learned(stages, batch_size))

    def unheeded(self) -> tuple[str, ...]:
        """What the deployer places by hand and none of the models has."""
        runs = [part_sheets(self.checkpoints, self.guardrails, for_model=model.name) for model in self.checkpoints]
        return tuple(sorted(self.wish.placement.keys() - {part.group for parts in runs for part in parts}))

    def with_margin(self, name: str, margin: float) -> "House":
        """The same, with what was learned of a stage. name: as margin_name has it."""
        return replace(self, margins={**self.margins, name: margin})

    def _learned(self, stages: Sequence[StageSheet], batch_size: int) -> Sequence[StageSheet]:
        learned = []
        for stage in stages:
            margin = self.margins.get(stage.name, 1.0)
            if batch_size > 1:
                margin *= self.margins.get(margin_name(stage.name, batch_size), 1.0)
            learned.append(stage if margin == 1.0 else _times(stage, margin))
        return learned


def margin_name(stage: str, batch_size: int) -> str:
    """What is learned of a stage goes by its name; of batches by another, for which single tasks are none the worse."""
    return stage if batch_size == 1 else f"{stage} together"


def can_share(checkpoint: Checkpoint) -> bool:
    """Whether several tasks for it can be made in one batch at all."""
    return checkpoint.family == "autoregressive"


def plan_for(task: Task, model: str, house: House, *, batch_size: int = 1) -> Plan:
    """The plan of a task, or of several like it that are done together. Raises NothingFits.

    How long a conversation is shows only when its processor has read it: where the estimate does not fit, the plan is
    for as much of it as does, and the reasoner holds what there really is against that.
    """
    try:
        return _plan(task, model, house, batch_size=batch_size)
    except NothingFits:
        if not isinstance(task, Answer):
            raise
        for prompt_tokens in _FEWER_TOKENS:
            with contextlib.suppress(NothingFits):
                return _plan(task, model, house, prompt_tokens=prompt_tokens)
        raise


def plan_together(tasks: Sequence[Task], model: str, house: House) -> Plan:
    """The plan of several tasks that are done together, like one another but for their prompts. Raises NothingFits."""
    largest = max(tasks, key=lambda task: len(task.prompt) if isinstance(task, Generation) else 0)
    return plan_for(largest, model, house, batch_size=len(tasks))


def _plan(task: Task, model: str, house: House, *, prompt_tokens: int | None = None, batch_size: int = 1) -> Plan:
    parts, stages = house.sheets(task, model, prompt_tokens=prompt_tokens, batch_size=batch_size)
    return choose(parts, stages, house.machine, rules_for(house.wish, parts))


def plan_below(plan: Plan, task: Task, model: str, house: House) -> Plan:
    """The next plan down the ladder, after one for which the device had too little memory. Raises NothingFits."""
    parts, stages = house.sheets(task, model)
    return step_down(plan, parts, stages, rules_for(house.wish, parts))


def fits(task: Task, model: str, house: House) -> bool:
    """Whether there is a plan for a task."""
    try:
        plan_for(task, model, house)
    except NothingFits:
        return False
    return True


def _times(stage: StageSheet, margin: float) -> StageSheet:
    tiled = stage.tiled_working_bytes
    return replace(
        stage,
        working_bytes=int(stage.working_bytes * margin),
        tiled_working_bytes=None if tiled is None else int(tiled * margin),
    )
