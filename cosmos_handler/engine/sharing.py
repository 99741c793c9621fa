"""This instance's own jobs, told to the ledger as they go; what the ledger says of them in return is done."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cosmos_handler.engine.jobstore import JobStore, KeptJob
from cosmos_handler.engine.ledger import Entry, Ledger
from cosmos_handler.engine.record import Record
from cosmos_handler.errors import CosmosError, JobsUnreachable, UnknownJob
from cosmos_handler.media.shelving import Changed
from cosmos_handler.messages.results import TextOutput
from cosmos_handler.messages.tasks import Encoding
from cosmos_handler.schemas.invocation import Invocation

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 3600.0
# From the end of a job to its record's: asked in between, one waits for that rather than hear what was before.
_PUBLISH_SECONDS = 5.0


@dataclass(frozen=True)
class Told:
    """A job as clients see it. headers: of its result, once that is there."""

    video: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Own:
    """A job that runs here. written_at: when the ledger last heard of it, by this process's own clock."""

    kept: KeptJob
    entry: Entry
    written_at: float
    following: asyncio.Task[None] | None = None


class Sharing:
    """Jobs that any instance answers for.

    describe: how clients see a job of this instance. beat_seconds: how often the ledger hears of one that goes on, and
    so how long it may take until this instance hears that another one was asked to cancel it.
    Its methods raise JobsUnreachable where S3 does not do what is asked.
    """

    def __init__(
        self, store: JobStore, ledger: Ledger, describe: Callable[[KeptJob], Told], *, beat_seconds: float
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._describe = describe
        self._beat_seconds = beat_seconds
        self._own: dict[str, _Own] = {}
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for what instances left that are gone."""
        self._sweeping = asyncio.create_task(self._sweep())

    async def create(self, invocation: Invocation, encoding: Encoding) -> Told:
        """A job, accepted and in the ledger. Raises as Engine.submit does."""
        kept = await self._store.create(invocation, encoding, results_uri=self._ledger.results_uri())
        async with contextlib.AsyncExitStack() as unless_known:
            # Also when the caller leaves now: nobody has heard of the job.
            unless_known.push_async_callback(self._store.delete, kept.job.id)
            entry = await self._ledger.open(kept.job.id, self._record(kept, beat=0))
            unless_known.pop_all()
        own = self._own[kept.job.id] = _Own(kept, entry, time.monotonic())
        own.following = asyncio.create_task(self._follow(own))
        return self._describe(kept)

    async def get(self, job_id: str) -> Record:
        """The job as it stands. Raises UnknownJob."""
        own = self._own.get(job_id)
        if own is not None and own.following is not None and own.kept.job.state.is_terminal:
            await asyncio.wait({own.following}, timeout=_PUBLISH_SECONDS)
        elif own is not None and time.monotonic() - own.written_at < 2 * self._beat_seconds:
            return self._record(own.kept, beat=own.entry.record.beat)  # nobody can have found it lost
        return (await self._ledger.read(job_id)).record

    async def delete(self, job_id: str) -> Record:
        """Cancel a job that has not ended, which stays as a cancelled one; forget one that has. Raises UnknownJob."""
        own = self._own.get(job_id)
        if own is not None and not own.kept.job.state.is_terminal:
            await self._store.delete(job_id)
            return self._record(own.kept, beat=0)
        record = await self.get(job_id)
        if not record.state.is_terminal:
            return await self._ledger.ask_to_cancel(job_id)
        await self._ledger.forget(job_id, record)
        return record

    async def close(self, seconds: float) -> None:
        """Let the jobs end, which the engine sees to; tell the ledger how; not longer than so many seconds."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        following = {own.following for own in self._own.values() if own.following is not None}
        if following:
            await asyncio.wait(following, timeout=seconds)
        await self._store.close()
        if following:
            await asyncio.wait(following, timeout=_PUBLISH_SECONDS / 5)
        for each in following:
            each.cancel()

    async def _follow(self, own: _Own) -> None:
        job = own.kept.job
        is_known = False
        while not is_known:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._beat_seconds):
                    await job.ended()
            is_known = await self._tell(own)
            if job.state.is_terminal and not is_known:
                await asyncio.sleep(self._beat_seconds)  # S3 is out of reach
        del self._own[job.id]
        with contextlib.suppress(UnknownJob):
            await self._store.delete(job.id)  # what is left of it is in S3

    async def _tell(self, own: _Own) -> bool:
        """Write how the job stands. Whether the ledger knows its end now, be it another one than ours."""
        job = own.kept.job
        for _ in range(2):
            record = self._record(own.kept, beat=own.entry.record.beat + 1)
            try:
                own.entry = await self._ledger.write(job.id, own.entry, record)
            except Changed:
                try:
                    own.entry = await self._ledger.read(job.id)
                except UnknownJob:  # deleted by somebody who found it lost
                    await self._give_up(own, record)
                    return True
                if own.entry.record.state.is_terminal:
                    await self._give_up(own, record)
                    return True
                if own.entry.record.cancel_requested:
                    await self._cancel(own)
            except JobsUnreachable as error:
                log.warning("the record of job %s could not be written: %s", job.id, error)
                return False
            else:
                own.written_at = time.monotonic()
                return record.state.is_terminal
        return False

    async def _cancel(self, own: _Own) -> None:
        if not own.kept.job.state.is_terminal:
            log.info("job %s is cancelled, as another instance was asked to", own.kept.job.id)
            await self._store.delete(own.kept.job.id)

    async def _give_up(self, own: _Own, record: Record) -> None:
        """Another instance has found the job lost, and said so: that stands."""
        job = own.kept.job
        log.error("job %s was found lost by another instance, which stands; it is given up", job.id)
        if not job.state.is_terminal:
            await self._store.delete(job.id)
        elif record.result is not None and record.result.is_ours:
            await self._ledger.drop_result(record.result)

    def _record(self, kept: KeptJob, *, beat: int) -> Record:
        job, told = kept.job, self._describe(kept)
        result = None
        if job.done is not None and job.stored is not None and not isinstance(job.done.output, TextOutput):
            result = self._ledger.result_place(job.stored.s3_uri, job.done.output.media_type)
        return Record(job.state, told.video, told.headers, result, kept.expires_at, beat=beat)

    async def _sweep(self) -> None:
        while True:
            try:
                await self._ledger.sweep()
            except CosmosError as error:
                log.warning("the jobs in S3 could not be looked through: %s", error)
            await asyncio.sleep(_SWEEP_SECONDS)
