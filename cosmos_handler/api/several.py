"""One request with several jobs, answered in order: as a whole that has its length, or one by one to who listens."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from cosmos_handler.api.accept import choose
from cosmos_handler.api.answer import JSON, STREAM, Face, encoding_for
from cosmos_handler.api.body import Body
from cosmos_handler.api.caller import Caller
from cosmos_handler.api.collected import Collected
from cosmos_handler.api.errors import body_of
from cosmos_handler.api.json_text import JSON_LINES
from cosmos_handler.api.presence import while_there
from cosmos_handler.api.recognition import understand_one
from cosmos_handler.api.stream import HEARTBEAT, HEARTBEAT_SECONDS, event
from cosmos_handler.engine.delivery import named_object
from cosmos_handler.engine.job import Job
from cosmos_handler.errors import (
    BacklogFull,
    CosmosError,
    InvalidBody,
    InvalidField,
    RequestError,
    Unavailable,
    WorkerDied,
)
from cosmos_handler.redaction import texts_in
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.reasoning import ChatRequest
from cosmos_handler.schemas.samples import expand, expand_any
from cosmos_handler.schemas.upload import Upload

# Beside those that run, one more has its media decoded.
_AHEAD = 1
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Entry:
    """One job to be, or the error in its place. echo: how the caller knows it."""

    asked: tuple[Invocation, Face] | CosmosError
    echo: dict[str, Any]


async def answer_several(request: Request, caller: Caller, body: Body) -> Response:
    """Every job's answer, or error, in its place.

    Raises RequestError where the whole is wrong, Unavailable where there is no place now.
    """
    media_type = choose(request.headers.get("accept"), (JSON, *JSON_LINES, STREAM))
    jobs = expand(body.content)
    entries = await asyncio.to_thread(_entries, caller, jobs, body)  # a thousand of them take a second
    caller.engine.refuse_when_full()
    series = _Series(caller, entries)
    if media_type == STREAM or caller.listens:
        return _SeveralStream(series, media_type)
    return await _collected(request, series, media_type)


async def answer_record(request: Request, caller: Caller, body: Body) -> Response:
    """The same in a batch transform job, which gives up a whole file for one bad answer.

    So every record that cannot be done has its error as its answer. One that is no list is answered with one object.
    Raises Unavailable, upon which the platform asks again.
    """
    media_type = choose(request.headers.get("accept"), (JSON, *JSON_LINES))
    is_one = isinstance(body.content, dict) and "samples" not in body.content
    jobs = expand_any(body.content)
    try:
        entries = await asyncio.to_thread(_entries, caller, jobs, body)
    except RequestError as error:  # of all of them together
        entries = [Entry(error, {}) for _ in jobs]
    series = _Series(caller, entries, is_batch=True)
    return await _collected(request, series, media_type, is_one=is_one)


class _Series:
    """The answers, in order, made a little ahead.

    is_batch: whoever asks comes again where there is no place, and takes an error for the record's own: so one whose
    model process died, which is not, is done once more.
    """

    def __init__(self, caller: Caller, entries: Sequence[Entry], *, is_batch: bool = False) -> None:
        self.spool_dir = caller.spool_dir
        self._caller = caller
        self._left = deque(enumerate(entries))
        self._is_batch = is_batch
        self._door = asyncio.Lock()  # which lets in one after the other, in the order in which they came to it

    async def answers(self, *, heartbeat_seconds: float | None = None) -> AsyncGenerator[bytes | None, None]:
        """Each as JSON; None whenever none has come for that long. Whatever ends this early ends those at work."""
        at_work: deque[asyncio.Task[dict[str, Any]]] = deque()
        try:
            while self._left or at_work:
                while self._left and len(at_work) < self._caller.engine.max_running + _AHEAD:
                    at_work.append(asyncio.create_task(self._run(*self._left.popleft())))
                done, _ = await asyncio.wait({at_work[0]}, timeout=heartbeat_seconds)
                if not done:
                    yield None
                    continue
                yield await asyncio.to_thread(_dump, at_work.popleft().result())
        finally:
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)  # else one that failed meanwhile is complained of

    async def _run(self, index: int, entry: Entry) -> dict[str, Any]:
        if isinstance(entry.asked, CosmosError):
            return {**body_of(entry.asked), **entry.echo}
        invocation, face = entry.asked
        job_id, may_die = None, self._is_batch
        while True:
            try:
                async with self._in_line(invocation, index) as job:
                    job_id = job.id
                    done = await job.result()
                    return await asyncio.to_thread(face.whole, job, done)
            except CosmosError as error:
                if self._is_batch and isinstance(error, Unavailable):
                    raise
                if may_die and isinstance(error, WorkerDied):
                    may_die = False
                    continue
                return {**body_of(error, job_id=job_id), **entry.echo}

    @asynccontextmanager
    async def _in_line(self, invocation: Invocation, index: int) -> AsyncIterator[Job]:
        """The job in its place: however long its media take, those behind it in the list come behind it."""
        async with AsyncExitStack() as stack:
            async with self._door:
                while True:
                    try:
                        submitted = self._caller.submit(invocation, encoding_for(invocation, JSON), index=index)
                        job = await stack.enter_async_context(submitted)
                        break
                    except BacklogFull:  # others' jobs: this one has its turn among them
                        await asyncio.sleep(_RETRY_SECONDS)
            yield job


async def _collected(request: Request, series: _Series, media_type: str, *, is_one: bool = False) -> Response:
    """All answers as one body that has a length: asynchronous inference takes no other."""
    if is_one:
        opening, between, closing = b"", b"", b""
    elif media_type == JSON:
        opening, between, closing = b"[", b",", b"]"
    else:  # without a line break at the end: who assembles lines adds his own
        opening, between, closing = b"", b"\n", b""
    collected = Collected(series.spool_dir)
    with ExitStack() as unfinished:
        unfinished.callback(collected.close)
        async with while_there(request), aclosing(series.answers()) as answers:
            await collected.write(opening)
            is_first = True
            async for told in answers:
                await collected.write((b"" if is_first else between) + (told or b""))
                is_first = False
            await collected.write(closing)
        unfinished.pop_all()
    return collected.response(media_type)


class _SeveralStream(StreamingResponse):
    """Owns its jobs: whatever ends the response ends those that have not ended."""

    def __init__(self, series: _Series, media_type: str) -> None:
        self._answers = series.answers(heartbeat_seconds=HEARTBEAT_SECONDS)
        pieces = {STREAM: self._events, JSON: self._list}.get(media_type, self._lines)
        super().__init__(pieces(), media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, or notice that nobody listens."""
        async with aclosing(self._answers):
            await super().__call__(scope, receive, send)

    async def _events(self) -> AsyncIterator[bytes]:
        async for told in self._answers:
            yield HEARTBEAT if told is None else b"event: result\ndata: " + told + b"\n\n"
        yield event("end", {})

    async def _lines(self) -> AsyncIterator[bytes]:
        async for told in self._answers:
            yield b"\n" if told is None else told + b"\n"  # readers of lines pass over empty ones

    async def _list(self) -> AsyncIterator[bytes]:
        between = b"["
        async for told in self._answers:
            yield b"\n" if told is None else between + told
            between = between if told is None else b","
        yield b"]"


def _entries(caller: Caller, jobs: Sequence[dict[str, Any] | RequestError], body: Body) -> list[Entry]:
    _refuse_unmentioned(jobs, body.uploads)
    return _without_overwriting([_entry(caller, job, body) for job in jobs])


def _entry(caller: Caller, job: dict[str, Any] | RequestError, body: Body) -> Entry:
    if isinstance(job, RequestError):
        return Entry(job, {})
    echo = {key: job[key] for key in ("name", "extra") if job.get(key) is not None}
    mentioned = set(texts_in(job))
    uploads = {name: data for name, data in body.uploads.items() if name in mentioned}
    try:
        invocation, face = understand_one(caller.engine, Body(job, uploads, body.strict))
    except RequestError as error:
        return Entry(error, echo)
    if isinstance(invocation.request, ChatRequest) and invocation.request.stream:
        return Entry(InvalidField("stream", "is not possible in a list", allowed="false"), echo)
    return Entry((invocation, face), echo)


def _without_overwriting(entries: Sequence[Entry]) -> list[Entry]:
    """The same, but for a job whose result would replace that of one before it in the list."""
    taken: dict[str, int] = {}
    kept = []
    for index, entry in enumerate(entries):
        kept.append(entry)
        if isinstance(entry.asked, CosmosError):
            continue
        invocation, _ = entry.asked
        uri = named_object(invocation)
        if uri is not None and taken.setdefault(uri, index) != index:
            problem = f"is the object of job {taken[uri] + 1} of this list as well"
            allowed = "a prefix that ends in /, or a key of its own"
            kept[-1] = Entry(InvalidField(invocation.written("output_s3_uri"), problem, allowed=allowed), entry.echo)
    return kept


def _refuse_unmentioned(jobs: Sequence[dict[str, Any] | RequestError], uploads: Mapping[str, Upload]) -> None:
    mentioned = {text for job in jobs if isinstance(job, dict) for text in texts_in(job)}
    for name in uploads:
        if name not in mentioned:
            raise InvalidBody(f"the file {name[:200]!r} is mentioned in none of the jobs")


def _dump(told: dict[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()
