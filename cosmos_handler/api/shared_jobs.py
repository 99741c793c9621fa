"""Jobs of `/v1/videos` that any instance behind an endpoint answers for: their records and results lie in S3."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from fastapi.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from cosmos_handler.api.errors import body_of
from cosmos_handler.api.own_jobs import refuse_unfinished
from cosmos_handler.api.render import headers
from cosmos_handler.api.stream import HEARTBEAT, HEARTBEAT_SECONDS, event
from cosmos_handler.api.video_object import video_object
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.job import State
from cosmos_handler.engine.jobstore import KeptJob
from cosmos_handler.engine.ledger import Ledger
from cosmos_handler.engine.record import Record
from cosmos_handler.engine.sharing import Sharing, Told
from cosmos_handler.engine.work_dir import SPOOL_PREFIX
from cosmos_handler.errors import CosmosError, InstanceLost, NotDone
from cosmos_handler.messages.tasks import Encoding
from cosmos_handler.schemas.invocation import Invocation

_LOOK_SECONDS = 1.0
_MAX_FETCHING = 4


class SharedJobs:
    """The jobs of all instances, as clients see them.

    folder: where results lie while they are sent, in folders that are named as this server's own.
    stop_seconds: how long its own jobs may go on when the server ends.
    """

    is_shared = True

    def __init__(self, sharing: Sharing, ledger: Ledger, *, folder: Path, owner: str, stop_seconds: float) -> None:
        self._sharing = sharing
        self._ledger = ledger
        self._folder = folder
        self._owner = owner
        self._stop_seconds = stop_seconds
        self._fetching = asyncio.Semaphore(_MAX_FETCHING)

    def start(self) -> None:
        """Begin to look for what instances left that are gone."""
        self._sharing.start()

    async def create(self, invocation: Invocation, encoding: Encoding) -> dict[str, Any]:
        """A job, accepted and known to all. Raises as Engine.submit does."""
        return dict((await self._sharing.create(invocation, encoding)).video)

    async def get(self, job_id: str) -> dict[str, Any]:
        """The job as it stands. Raises UnknownJob."""
        return dict((await self._sharing.get(job_id)).video)

    async def ids(self) -> tuple[str, ...]:
        """Every job, oldest first."""
        return await self._ledger.ids()

    async def get_all(self, job_ids: Collection[str]) -> list[dict[str, Any]]:
        """Those of them that are still there."""
        return [dict(record.video) for record in await self._ledger.read_all(job_ids)]

    async def delete(self, job_id: str) -> dict[str, Any]:
        """Have a job cancelled, wherever it runs; forget one that has ended. Raises UnknownJob."""
        return dict((await self._sharing.delete(job_id)).video)

    async def content(self, job_id: str) -> Response:
        """Its result, by way of a file. Raises UnknownJob and NotDone."""
        record = await self._sharing.get(job_id)
        refuse_unfinished(job_id, record.state)
        if record.result is None:
            raise NotDone(f"job {job_id} has no result: it {record.state.value}")
        # A name that a later server knows as one of a dead server's.
        folder = Path(await asyncio.to_thread(mkdtemp, prefix=f"{SPOOL_PREFIX}{self._owner}-", dir=self._folder))
        with ExitStack() as unless_fetched:
            unless_fetched.callback(shutil.rmtree, folder, ignore_errors=True)
            async with self._fetching:
                await self._ledger.fetch(record.result, folder / "result")
            unless_fetched.pop_all()
        return _Fetched(folder / "result", media_type=record.result.media_type, headers=dict(record.headers))

    async def events(self, job_id: str) -> AsyncIterator[bytes]:
        """The object as it stands, then what changes, then the object as it ended. Raises UnknownJob."""
        return self._told(job_id, await self._sharing.get(job_id))

    async def close(self) -> None:
        """Let this instance's own jobs end, and tell the others how."""
        await self._sharing.close(self._stop_seconds)

    async def _told(self, job_id: str, record: Record) -> AsyncIterator[bytes]:
        yield event("status", dict(record.video))
        told_at = time.monotonic()
        while not record.state.is_terminal:
            await asyncio.sleep(_LOOK_SECONDS)
            before = record
            try:
                record = await self._sharing.get(job_id)
            except CosmosError as error:  # deleted meanwhile, or out of reach
                yield event("error", body_of(error, job_id=job_id))
                return
            if record.state.is_terminal:
                break
            if _standing(record) != _standing(before):
                yield event("status", dict(record.video))
            elif _moved(record) != _moved(before):
                yield event("progress", {"job_id": job_id, **_moved(record)})
            elif time.monotonic() - told_at >= HEARTBEAT_SECONDS:
                yield HEARTBEAT
            else:
                continue
            told_at = time.monotonic()
        yield event(record.state.value, dict(record.video))


class _Fetched(FileResponse):
    """A file that goes, with its folder, when it has been sent or nobody takes it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)


def describe(engine: Engine, kept: KeptJob) -> Told:
    """A job of this instance, as the others shall know it."""
    job = kept.job
    video = video_object(kept, queue_position=engine.queue_position(job))
    return Told(video, headers(job, job.done) if job.done is not None else {})


def lost(video: Mapping[str, Any]) -> dict[str, Any]:
    """A job whose instance is gone, from how it stood when that was last heard of."""
    job_id = str(video["id"])
    error = body_of(InstanceLost("the instance that had the job is gone; send it again"), job_id=job_id)["error"]
    code = {"code": error.pop("type"), **error}
    nowhere = dict.fromkeys(("stage", "step", "num_steps", "queue_position", "seconds_left"))
    return {**video, **nowhere, "status": State.FAILED.value, "error": code, "ended_at": int(time.time())}


def _standing(record: Record) -> tuple[Any, ...]:
    return record.video["status"], record.video["queue_position"]


def _moved(record: Record) -> dict[str, Any]:
    return {name: record.video[name] for name in ("stage", "step", "num_steps", "progress", "seconds_left")}
