"""What a task would take on the machine that the model processes have, before any of them hears of it."""

import asyncio

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.engine.pool import Pool
from cosmos_handler.errors import NotLoaded
from cosmos_handler.memory.nearest import refuse_impossible
from cosmos_handler.memory.plan import Plan
from cosmos_handler.memory.planning import House
from cosmos_handler.messages.tasks import Task


class Foresight:
    """Plans for one server, searched for off the event loop. window_seconds: what a job may take; None: any time."""

    def __init__(
        self, pool: Pool, checkpoints: tuple[Checkpoint, ...], guardrails: Guardrails, *, window_seconds: float | None
    ) -> None:
        self._pool = pool
        self._checkpoints = checkpoints
        self._guardrails = guardrails
        self._window_seconds = window_seconds

    async def refuse_impossible(self, task: Task, model: str) -> None:
        """Raise WillNotFit or OverWindow for what cannot be done; let all pass while no machine is known."""
        house = self._house()
        if house is not None:
            await asyncio.to_thread(refuse_impossible, task, model, house, window_seconds=self._window_seconds)

    async def plan(self, task: Task, model: str) -> Plan:
        """How a task would be done. Raises NotLoaded, WillNotFit and OverWindow."""
        house = self._house()
        if house is None:
            raise NotLoaded("the models are still being loaded", retry_after_seconds=10)
        return await asyncio.to_thread(refuse_impossible, task, model, house, window_seconds=self._window_seconds)

    def _house(self) -> House | None:
        machine = self._pool.machine
        if machine is None:
            return None
        return House(self._checkpoints, self._guardrails, machine, self._pool.memory, self._pool.margins)
