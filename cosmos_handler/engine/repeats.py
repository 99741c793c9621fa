"""Requests that may come twice: the platform repeats what it has lost, and the repeat finds the job of the first."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cosmos_handler.engine.job import Job, State
from cosmos_handler.engine.jobstore import JobStore, KeptJob
from cosmos_handler.errors import RepeatDiffers, UnknownJob
from cosmos_handler.messages.tasks import Encoding
from cosmos_handler.schemas.invocation import Invocation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RepeatKey:
    """What a repeat is known by. name: the caller's own, or the digest. digest: of all that was asked."""

    name: str
    digest: str

    def of(self, index: int) -> "RepeatKey":
        """For one of several jobs in a request."""
        return RepeatKey(f"{self.name}#{index}", self.digest)


@dataclass(frozen=True)
class _Known:
    digest: str
    making: asyncio.Task[KeptJob]


class Repeats:
    """Jobs that go on when their caller is lost, and are kept for him as long as the store keeps what has ended."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}

    @asynccontextmanager
    async def submit(self, key: RepeatKey, invocation: Invocation, encoding: Encoding) -> AsyncIterator[Job]:
        """The job of a request: a new one, or that of the same request before; leaving the block cancels nothing.

        One that failed or was cancelled is done again. Raises RepeatDiffers where the name was another request's, and
        what Engine.submit raises.
        """
        digest = f"{key.digest}/{encoding}"
        known = self._known.get(key.name)
        if known is not None and not self._is_over(known):
            if known.digest != digest:
                raise RepeatDiffers(f"the inference id {key.name[:64]!r} was that of another request")
            log.info("a request has come again, and is given the job of the first")
        else:
            self._forget_what_is_over()
            # On its own: the one who began it may be lost before it is accepted.
            making = asyncio.create_task(self._store.create(invocation, encoding, window="own"))
            making.add_done_callback(_heard)
            known = self._known[key.name] = _Known(digest, making)
        kept = await asyncio.shield(known.making)
        yield kept.job

    async def close(self) -> None:
        """End what is being accepted; what was accepted is the store's."""
        for known in self._known.values():
            known.making.cancel()
        await self._store.close()

    def _forget_what_is_over(self) -> None:
        self._known = {name: known for name, known in self._known.items() if not self._is_over(known)}

    def _is_over(self, known: _Known) -> bool:
        """Whether nothing of it is left that a repeat could be given."""
        if not known.making.done():
            return False
        if known.making.cancelled() or known.making.exception() is not None:
            return True
        job = known.making.result().job
        if job.state in (State.FAILED, State.CANCELLED):
            return True
        try:
            self._store.get(job.id)
        except UnknownJob:
            return True
        return False


def _heard(making: asyncio.Task[KeptJob]) -> None:
    """Nobody may be left to hear how it ended, which is no fault."""
    if not making.cancelled():
        making.exception()
