"""One request with several jobs: answered in order, as a JSON list or as JSON lines, each as soon as it is its turn."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from cosmos_handler.api.accept import choose
from cosmos_handler.api.answer import JSON, encoding_for, face_of
from cosmos_handler.api.body import Body
from cosmos_handler.api.errors import body_of
from cosmos_handler.api.json_text import JSON_LINES
from cosmos_handler.api.understanding import understand
from cosmos_handler.engine.engine import Engine
from cosmos_handler.errors import BacklogFull, CosmosError, InvalidBody, InvalidField, RequestError
from cosmos_handler.redaction import texts_in
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.reasoning import ChatRequest
from cosmos_handler.schemas.samples import expand
from cosmos_handler.schemas.upload import Upload

# One job runs for each group of devices; one more has its media decoded meanwhile.
_AHEAD = 1
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Entry:
    """One job to be, or the error in its place. echo: how the caller knows it."""

    asked: Invocation | CosmosError
    echo: dict[str, Any]


async def answer_several(request: Request, engine: Engine, body: Body) -> "SeveralStream":
    """The answer as a stream. Raises RequestError where the whole is wrong, Unavailable where there is no place now."""
    media_type = choose(request.headers.get("accept"), (JSON, *JSON_LINES))
    entries = await asyncio.to_thread(_entries, engine, body)  # a thousand of them take a second
    engine.refuse_when_full()
    return SeveralStream(engine, entries, media_type)


class SeveralStream(StreamingResponse):
    """Owns its jobs: whatever ends the response cancels those that have not ended."""

    def __init__(self, engine: Engine, entries: Iterable[Entry], media_type: str) -> None:
        self._engine = engine
        self._left = deque(entries)
        self._at_work: deque[asyncio.Task[dict[str, Any]]] = deque()
        super().__init__(self._lines() if media_type in JSON_LINES else self._list(), media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, or notice that nobody listens."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            for task in self._at_work:
                task.cancel()

    async def _answers(self) -> AsyncIterator[bytes]:
        while self._left or self._at_work:
            while self._left and len(self._at_work) < self._engine.num_groups + _AHEAD:
                self._at_work.append(asyncio.create_task(_run(self._engine, self._left.popleft())))
            told = await self._at_work[0]
            self._at_work.popleft()
            yield await asyncio.to_thread(_dump, told)

    async def _lines(self) -> AsyncIterator[bytes]:
        async for told in self._answers():
            yield told + b"\n"

    async def _list(self) -> AsyncIterator[bytes]:
        between = b"["
        async for told in self._answers():
            yield between + told
            between = b","
        yield b"]"


def _entries(engine: Engine, body: Body) -> list[Entry]:
    jobs = expand(body.content)
    _refuse_unmentioned(jobs, body.uploads)
    return [_entry(engine, job, body) for job in jobs]


def _entry(engine: Engine, job: dict[str, Any] | RequestError, body: Body) -> Entry:
    if isinstance(job, RequestError):
        return Entry(job, {})
    echo = {key: job[key] for key in ("name", "extra") if job.get(key) is not None}
    mentioned = set(texts_in(job))
    uploads = {name: data for name, data in body.uploads.items() if name in mentioned}
    try:
        invocation = understand(engine, job, uploads, strict=body.strict)
    except RequestError as error:
        return Entry(error, echo)
    if isinstance(invocation.request, ChatRequest) and invocation.request.stream:
        return Entry(InvalidField("stream", "is not possible in a list", allowed="false"), echo)
    return Entry(invocation, echo)


def _refuse_unmentioned(jobs: list[dict[str, Any] | RequestError], uploads: dict[str, Upload]) -> None:
    mentioned = {text for job in jobs if isinstance(job, dict) for text in texts_in(job)}
    for name in uploads:
        if name not in mentioned:
            raise InvalidBody(f"the file {name[:200]!r} is mentioned in none of the jobs")


async def _run(engine: Engine, entry: Entry) -> dict[str, Any]:
    if isinstance(entry.asked, CosmosError):
        return {**body_of(entry.asked), **entry.echo}
    job_id = None
    while True:
        try:
            async with engine.submit(entry.asked, encoding_for(entry.asked, JSON)) as job:
                job_id = job.id
                done = await job.result()
                return await asyncio.to_thread(face_of(entry.asked).whole, job, done)
        except BacklogFull:  # others' jobs: this one has its turn among them
            await asyncio.sleep(_RETRY_SECONDS)
        except CosmosError as error:
            return {**body_of(error, job_id=job_id), **entry.echo}


def _dump(told: dict[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
