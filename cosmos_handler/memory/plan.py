"""The memory plan: pure arithmetic over the sizes of the parts. Every part is resident in this version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS, Guardrails
from cosmos_handler.errors import DoesNotFit

Placement = Literal["resident"]

# Weights are not all: latents, attention and the decoder's tiles need room as well.
_WORKING_SHARE = 0.1


@dataclass(frozen=True)
class Row:
    """One part and where it lies."""

    model: str
    part: str
    size_bytes: int
    placement: Placement


@dataclass(frozen=True)
class Plan:
    """Where every part lies, and what it was held against."""

    rows: tuple[Row, ...]
    budget_bytes: int

    def of(self, model: str) -> dict[str, str]:
        """The placements of one model's parts."""
        return {row.part: row.placement for row in self.rows if row.model == model}

    def table(self) -> str:
        """The plan for a person to read."""
        lines = [f"  {'model':<24} {'part':<33} {'GiB':>8}  placement"]
        lines += [
            f"  {row.model:<24} {row.part:<33} {row.size_bytes / 2**30:>8.2f}  {row.placement}" for row in self.rows
        ]
        total = sum(row.size_bytes for row in self.rows)
        return "\n".join(
            [*lines, f"  {total / 2**30:.2f} GiB of weights; {self.budget_bytes / 2**30:.2f} GiB free before"]
        )


def make_plan(checkpoints: Sequence[Checkpoint], guardrails: Guardrails = NO_GUARDRAILS, *, budget_bytes: int) -> Plan:
    """Everything on the device; the guardrails once, however many models they guard.

    Raises DoesNotFit with the table where that cannot be.
    """
    owners: tuple[Checkpoint | Guardrails, ...] = (*checkpoints, guardrails)
    rows = tuple(
        Row(owner.name, part.name, part.size_bytes, "resident") for owner in owners for part in owner.parts
    ) + tuple(
        Row(checkpoint.name, f"lora {lora.name}", lora.size_bytes, "resident")
        for checkpoint in checkpoints
        for lora in checkpoint.loras
    )
    plan = Plan(rows, budget_bytes)
    if sum(row.size_bytes for row in rows) > budget_bytes * (1 - _WORKING_SHARE):
        raise DoesNotFit(
            "the models are larger than the memory of the device, of which a tenth is kept for the work itself; "
            f"serve fewer of them or use a larger device\n{plan.table()}"
        )
    return plan
