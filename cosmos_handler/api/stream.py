"""Server-sent events or JSON lines: one for every step or token, then the result, then the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from cosmos_handler.api.errors import body_of
from cosmos_handler.api.render import as_json
from cosmos_handler.engine.job import Job, Listener
from cosmos_handler.errors import CosmosError
from cosmos_handler.messages.wire import Progress

# A comment line this often keeps proxies and SageMaker's router from taking a slow step for a dead connection.
HEARTBEAT_SECONDS = 5.0
HEARTBEAT = b": still at work\n\n"


class JobStream(StreamingResponse):
    """A stream that owns its job: whatever ends the response closes the job's context."""

    def __init__(
        self, content: AsyncIterator[bytes], media_type: str, *, job_context: AsyncExitStack, job_id: str
    ) -> None:
        super().__init__(content, media_type=media_type, headers={"X-Cosmos-Job-Id": job_id})
        self._job_context = job_context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, or notice that nobody listens."""
        async with self._job_context:
            await super().__call__(scope, receive, send)


def event(name: str, data: dict[str, Any]) -> bytes:
    """One named event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def line(name: str, data: dict[str, Any]) -> bytes:
    """The same as a line of JSON, in ASCII: whole lines can be put together from pieces that were cut anywhere."""
    return json.dumps({"event": name, **data}, separators=(",", ":")).encode() + b"\n"


async def job_events(job: Job, listener: Listener) -> AsyncIterator[bytes]:
    """`accepted`, then `progress` and `token` as they come, then `result` or `error`."""
    async for told in _told(job, listener):
        yield HEARTBEAT if told is None else event(*told)


async def job_lines(job: Job, listener: Listener) -> AsyncIterator[bytes]:
    """The same, with `heartbeat` as an event of its own."""
    async for told in _told(job, listener):
        yield line("heartbeat", {"job_id": job.id}) if told is None else line(*told)


async def _told(job: Job, listener: Listener) -> AsyncIterator[tuple[str, dict[str, Any]] | None]:
    """Every event's name and data; None when there was nothing to tell for a while."""
    yield "accepted", {"job_id": job.id, "model": job.model}
    async for happening in listener.events(heartbeat_seconds=HEARTBEAT_SECONDS):
        if happening is None:
            yield None
        elif isinstance(happening, Progress):
            data = {"stage": happening.stage, "step": happening.step, "num_steps": happening.num_steps}
            yield "progress", {"job_id": job.id, **data}
        else:
            yield "token", {"job_id": job.id, "text": happening.text, "reasoning": happening.reasoning}
    try:
        done = await job.result()
    except CosmosError as error:
        yield "error", body_of(error, job_id=job.id)
    else:
        yield "result", await asyncio.to_thread(as_json, job, done)
