"""Jobs of `/v1/videos` that this server alone knows; none of them survives it."""

from collections.abc import AsyncIterator, Collection
from typing import Any

from fastapi.responses import FileResponse, Response

from cosmos_handler.api.render import headers
from cosmos_handler.api.stream import HEARTBEAT, HEARTBEAT_SECONDS, event
from cosmos_handler.api.video_object import video_object
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.job import Listener, State
from cosmos_handler.engine.jobstore import JobStore, KeptJob
from cosmos_handler.errors import NotDone, UnknownJob
from cosmos_handler.messages.results import TextOutput
from cosmos_handler.messages.tasks import Encoding
from cosmos_handler.messages.wire import Progress
from cosmos_handler.schemas.invocation import Invocation


class OwnJobs:
    """The jobs of one store, as clients see them."""

    is_shared = False

    def __init__(self, engine: Engine, store: JobStore) -> None:
        self._engine = engine
        self._store = store

    def start(self) -> None:
        """Nothing has to be done beside the requests."""

    async def create(self, invocation: Invocation, encoding: Encoding) -> dict[str, Any]:
        """A job that runs whether anybody listens or not. Raises as Engine.submit does."""
        return self._shown(await self._store.create(invocation, encoding))

    async def get(self, job_id: str) -> dict[str, Any]:
        """The job as it stands. Raises UnknownJob."""
        return self._shown(self._store.get(job_id))

    async def ids(self) -> list[str]:
        """Every job, oldest first."""
        return [kept.job.id for kept in self._store.all()]

    async def get_all(self, job_ids: Collection[str]) -> list[dict[str, Any]]:
        """Those of them that are still there."""
        found = []
        for job_id in job_ids:
            try:
                found.append(self._shown(self._store.get(job_id)))
            except UnknownJob:
                continue
        return found

    async def delete(self, job_id: str) -> dict[str, Any]:
        """Cancel a job that has not ended, which stays as a cancelled one; forget one that has. Raises UnknownJob."""
        return self._shown(await self._store.delete(job_id))

    async def content(self, job_id: str) -> Response:
        """Its result. Raises UnknownJob and NotDone."""
        job = self._store.get(job_id).job
        refuse_unfinished(job_id, job.state)
        done = job.done
        if done is None or isinstance(done.output, TextOutput):
            raise NotDone(f"job {job_id} has no result: it {job.state.value}")
        return FileResponse(done.output.path, media_type=done.output.media_type, headers=headers(job, done))

    async def events(self, job_id: str) -> AsyncIterator[bytes]:
        """The object as it stands, then every step, then the object as it ended; leaving early changes nothing."""
        kept = self._store.get(job_id)
        return self._told(kept, kept.job.listen())

    async def close(self) -> None:
        """End what still waits or runs."""
        await self._store.close()

    def _shown(self, kept: KeptJob) -> dict[str, Any]:
        return video_object(kept, queue_position=self._engine.queue_position(kept.job))

    async def _told(self, kept: KeptJob, listener: Listener) -> AsyncIterator[bytes]:
        told = self._shown(kept)
        yield event("status", told)
        async for happening in listener.events(heartbeat_seconds=HEARTBEAT_SECONDS):
            if isinstance(happening, Progress):
                job = kept.job
                left = job.pace.seconds_left
                data = {"stage": happening.stage, "step": happening.step, "num_steps": happening.num_steps}
                data |= {"progress": job.pace.percent, "seconds_left": None if left is None else round(left, 1)}
                yield event("progress", {"job_id": job.id, **data})
            elif self._shown(kept)["queue_position"] != told["queue_position"]:
                told = self._shown(kept)
                yield event("status", told)
            else:
                yield HEARTBEAT
        yield event(kept.job.state.value, self._shown(kept))


def refuse_unfinished(job_id: str, state: State) -> None:
    """Raise NotDone for a job whose result cannot be there yet."""
    if not state.is_terminal:
        raise NotDone(f"job {job_id} is not done yet; GET /v1/videos/{job_id} says how far it is")
