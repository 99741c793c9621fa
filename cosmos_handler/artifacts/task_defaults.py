"""Both tables of defaults as plain values for a reader: what a request means where it says nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cosmos_handler.artifacts import reasoner
from cosmos_handler.artifacts.checkpoint import Checkpoint, Family
from cosmos_handler.artifacts.defaults import GENERATION
from cosmos_handler.artifacts.drawing_defaults import drawing_defaults
from cosmos_handler.artifacts.reasoning_defaults import REASONING


def checkpoint_defaults(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    """The same for a model that is loaded, with what its own files decide."""
    shown = task_defaults(checkpoint.family, checkpoint.tasks)
    limits = checkpoint.generation
    if checkpoint.family != "autoregressive" or limits is None:
        return shown
    own = {"height": limits.max_height, "width": limits.max_width, **asdict(drawing_defaults(checkpoint))}
    return {
        task: {**row, **own, "num_frames": min(row["num_frames"], limits.max_frames)} for task, row in shown.items()
    }


def task_defaults(
    family: Family, tasks: Sequence[str], *, draw: Mapping[str, float] | None = None
) -> dict[str, dict[str, Any]]:
    """Task → name → value. None stands for what the checkpoint's own files say, or for what the task does not have.

    draw: how the tokens of a video are drawn, where it is made of tokens.
    A reasoner has two rows, "plain" and "reasoning": without and with its reasoning switch.
    """
    shown: dict[str, dict[str, Any]] = {}
    for task in tasks:
        if task in reasoner.TASKS:
            plain, reasoning = REASONING[family]
            shown[task] = {"plain": asdict(plain), "reasoning": asdict(reasoning)}
        else:
            row = GENERATION[family, task]
            shown[task] = {**asdict(row), "height": row.size.height, "width": row.size.width, **(draw or {})}
    return shown
