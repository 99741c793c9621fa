"""Both tables of defaults as plain values for a reader: what a request means where it says nothing."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cosmos_handler.artifacts import reasoner
from cosmos_handler.artifacts.checkpoint import Family
from cosmos_handler.artifacts.defaults import GENERATION
from cosmos_handler.artifacts.reasoning_defaults import REASONING


def task_defaults(family: Family, tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Task → name → value. None stands for what the checkpoint's own files say, or for what the task does not have.

    A reasoner has two rows, "plain" and "reasoning": without and with its reasoning switch.
    """
    shown: dict[str, dict[str, Any]] = {}
    for task in tasks:
        if task in reasoner.TASKS:
            plain, reasoning = REASONING[family]
            shown[task] = {"plain": asdict(plain), "reasoning": asdict(reasoning)}
        else:
            row = GENERATION[family, task]
            shown[task] = {**asdict(row), "height": row.size.height, "width": row.size.width}
    return shown
