"""Jobs that outlive the request which made them: kept for a time, while there is room, or until they are deleted."""

import asyncio
import logging
import shutil
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.job import Job, Window
from cosmos_handler.errors import Stopping, UnknownJob
from cosmos_handler.messages.results import TextOutput
from cosmos_handler.messages.tasks import Encoding
from cosmos_handler.schemas.invocation import Invocation

log = logging.getLogger(__name__)

# A failed job takes next to no disk, but is not remembered for nothing either.
_MAX_ENDED_JOBS = 1000


@dataclass(frozen=True)
class KeepLimits:
    """How long and how much of it. max_bytes: the newest result stays even where it alone is larger."""

    retention_seconds: float
    max_bytes: int


@dataclass
class KeptJob:
    """One job in the store. size_bytes: of its result, once that has been looked at."""

    job: Job
    life: AsyncExitStack
    retention_seconds: float
    watch: asyncio.Task[None] | None = None
    size_bytes: int | None = None

    @property
    def expires_at(self) -> float | None:
        """When it will be forgotten; None while it has not ended."""
        return None if self.job.ended_at is None else self.job.ended_at + self.retention_seconds


class JobStore:
    """The jobs of one server, oldest first. Nothing of it survives the server."""

    def __init__(self, engine: Engine, limits: KeepLimits) -> None:
        self._engine = engine
        self._limits = limits
        self._kept: dict[str, KeptJob] = {}

    async def create(
        self,
        invocation: Invocation,
        encoding: Encoding,
        *,
        window: Window = "none",
        results_uri: str | None = None,
    ) -> KeptJob:
        """A job that runs whether anybody listens or not. Raises as Engine.submit does."""
        life = AsyncExitStack()
        job = await life.enter_async_context(
            self._engine.submit(invocation, encoding, window=window, results_uri=results_uri)
        )
        kept = self._kept[job.id] = KeptJob(job, life, self._limits.retention_seconds)
        kept.watch = asyncio.create_task(self._watch(kept))
        return kept

    def get(self, job_id: str) -> KeptJob:
        """The job of that id. Raises UnknownJob."""
        kept = self._kept.get(job_id)
        if kept is None:
            raise UnknownJob(f"there is no job {job_id[:100]!r}, or not any more")
        return kept

    def all(self) -> tuple[KeptJob, ...]:
        """Every job, oldest first."""
        return tuple(self._kept.values())

    async def delete(self, job_id: str) -> KeptJob:
        """Cancel a job that has not ended, which stays as a cancelled one; forget one that has. Raises UnknownJob."""
        kept = self.get(job_id)
        if kept.job.state.is_terminal:
            await self._drop(kept)
        else:
            await self._engine.cancel(kept.job)
        return kept

    async def close(self) -> None:
        """End what still waits or runs, and forget everything."""
        for kept in self.all():
            if kept.job.fail(Stopping("the server shut down before the job was done", retry_after_seconds=30)):
                log.warning("job %s failed: the server shuts down", kept.job.id)
            await self._drop(kept)

    async def _watch(self, kept: KeptJob) -> None:
        await kept.job.ended()
        kept.size_bytes = await asyncio.to_thread(_tidy, kept.job)
        await self._make_room()
        await asyncio.sleep(self._limits.retention_seconds)
        await self._drop(kept)

    async def _make_room(self) -> None:
        ended = sorted(
            (kept for kept in self.all() if kept.size_bytes is not None), key=lambda kept: kept.job.ended_at or 0
        )
        while len(ended) > 1 and (
            len(ended) > _MAX_ENDED_JOBS or sum(kept.size_bytes or 0 for kept in ended) > self._limits.max_bytes
        ):
            log.info("job %s is forgotten to make room", ended[0].job.id)
            await self._drop(ended.pop(0))

    async def _drop(self, kept: KeptJob) -> None:
        if self._kept.pop(kept.job.id, None) is None:
            return
        if kept.watch is not None and kept.watch is not asyncio.current_task():
            kept.watch.cancel()
        await kept.life.aclose()


def _tidy(job: Job) -> int:
    """Leave only the result in the job's folder; how many bytes that is."""
    result = None if job.done is None or isinstance(job.done.output, TextOutput) else Path(job.done.output.path)
    size_bytes = 0
    for path in job.folder.iterdir():
        if path == result:
            size_bytes = path.stat().st_size
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return size_bytes
