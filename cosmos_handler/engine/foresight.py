"""What a task would take on the machine that the model processes have, before any of them hears of it."""

import asyncio
from collections.abc import Sequence

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.engine.job import Job, Window
from cosmos_handler.engine.pool import Pool
from cosmos_handler.engine.waiting import waiting_seconds
from cosmos_handler.errors import NotLoaded, WaitOverWindow
from cosmos_handler.memory.nearest import refuse_impossible
from cosmos_handler.memory.plan import Plan
from cosmos_handler.memory.planning import House
from cosmos_handler.messages.tasks import Task


class Foresight:
    """Plans for one server, searched for off the event loop.

    window_seconds: until an answer must be there; None: any time.
    """

    def __init__(
        self, pool: Pool, checkpoints: tuple[Checkpoint, ...], guardrails: Guardrails, *, window_seconds: float | None
    ) -> None:
        self._pool = pool
        self._checkpoints = checkpoints
        self._guardrails = guardrails
        self._window_seconds = window_seconds

    async def refuse_impossible(self, task: Task, model: str, *, window: Window) -> Plan | None:
        """The plan of a task; None, and all may pass, while no machine is known.

        Raises WillNotFit and OverWindow.
        """
        house = self._house()
        if house is None:
            return None
        seconds = None if window == "none" else self._window_seconds
        return await asyncio.to_thread(refuse_impossible, task, model, house, window_seconds=seconds)

    def refuse_late(self, plan: Plan, queued: Sequence[Job]) -> None:
        """Raise WaitOverWindow where too little of the window is left after what runs and those that wait."""
        if self._window_seconds is None:
            return
        waiting = waiting_seconds(self._pool.groups, queued)
        if waiting + plan.seconds > self._window_seconds:
            raise WaitOverWindow(
                f"it would wait about {waiting:.0f} s for the jobs before it and take about {plan.seconds:.0f} s, and "
                f"answers must be there within {self._window_seconds:.0f} s",
                waiting_seconds=waiting,
                predicted_seconds=plan.seconds,
                window_seconds=self._window_seconds,
            )

    async def plan(self, task: Task, model: str) -> Plan:
        """How a task would be done. Raises NotLoaded, WillNotFit and OverWindow."""
        house = self._house()
        if house is None:
            raise NotLoaded("the models are still being loaded", retry_after_seconds=10)
        return await asyncio.to_thread(refuse_impossible, task, model, house, window_seconds=self._window_seconds)

    def _house(self) -> House | None:
        return self._pool.house(self._checkpoints, self._guardrails, self._pool.machine)
