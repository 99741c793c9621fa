"""Asynchronous inference: a request waits here, and its answer becomes an object, or its failure another one."""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from scripts.local.objects import Objects, TooLarge

_PREFIX = "X-Amzn-SageMaker-"
_MAX_INLINE_BYTES = 128_000
_MAX_INPUT_BYTES = 2**30
_MAX_HEADER_BYTES = 4096
_PIECE_BYTES = 2**20
_ENDING_SECONDS = 3.0


@dataclass(frozen=True)
class Destination:
    """Where answers and failures go, as prefixes, and how many requests the container gets at a time."""

    output_uri: str
    failure_uri: str
    max_concurrent: int = 1


@dataclass(frozen=True)
class _Asked:
    headers: dict[str, str]
    source: str | bytes  # an address of S3, or the body itself
    output: str
    failure: str
    waits_until: float
    seconds: float


class Failure(Exception):
    """What the platform writes where the answer would have been."""


class Queue:
    """What was accepted and is not done yet lasts as long as this process."""

    def __init__(self, container: httpx2.AsyncClient, destination: Destination, objects: Objects) -> None:
        self._container = container
        self._destination = destination
        self._objects = objects
        self._places = asyncio.Semaphore(destination.max_concurrent)
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, request: Request, body: bytes, headers: dict[str, str]) -> Response:
        """Take a request in; 202 with where its answer will be. headers: those that the container gets."""
        location = request.headers.get(f"{_PREFIX}InputLocation")
        if (location is None) == (not body):
            return _refused("one of InputLocation and Body is needed, and not both")
        if len(body) > _MAX_INLINE_BYTES:
            return _refused(f"the body has {len(body)} bytes; {_MAX_INLINE_BYTES} go inline")
        ttl = request.headers.get(f"{_PREFIX}RequestTTLSeconds", "21600")
        seconds = request.headers.get(f"{_PREFIX}InvocationTimeoutSeconds", "900")
        if not (ttl.isdecimal() and 60 <= int(ttl) <= 21600 and seconds.isdecimal() and 1 <= int(seconds) <= 3600):
            return _refused("RequestTTLSeconds is 60 to 21600, InvocationTimeoutSeconds is 1 to 3600")
        inference_id = request.headers.get(f"{_PREFIX}Inference-Id") or str(uuid.uuid4())
        name = request.headers.get(f"{_PREFIX}Filename") or f"{uuid.uuid4()}.out"
        between = request.headers.get(f"{_PREFIX}S3OutputPathExtension", "").strip("/")
        tail = f"{between}/{name}" if between else name
        asked = _Asked(
            headers | {f"{_PREFIX}Inference-Id": inference_id},
            location or body,
            f"{self._destination.output_uri.rstrip('/')}/{tail}",
            f"{self._destination.failure_uri.rstrip('/')}/{tail.removesuffix('.out')}-error.out",
            time.monotonic() + int(ttl),
            float(seconds),
        )
        task = asyncio.create_task(self._run(asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        places = {f"{_PREFIX}OutputLocation": asked.output, f"{_PREFIX}FailureLocation": asked.failure}
        return JSONResponse({"InferenceId": inference_id}, status_code=202, headers=places)

    async def close(self) -> None:
        """Give up what waits and runs, after a moment in which what is nearly done, or has lost its container, ends."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_ENDING_SECONDS)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, asked: _Asked) -> None:
        async with self._places:
            with TemporaryDirectory(prefix="local-endpoint-") as folder:
                answer = Path(folder, "answer")
                target = asked.output
                try:
                    content_type = await self._invoke(asked, Path(folder, "input"), answer)
                except Failure as failure:
                    target, content_type = asked.failure, "text/plain"
                    await asyncio.to_thread(answer.write_text, str(failure))
                try:
                    await asyncio.to_thread(self._objects.store, answer, target, content_type)
                except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
                    print(f"{target} could not be written: {error}", file=sys.stderr)

    async def _invoke(self, asked: _Asked, source: Path, answer: Path) -> str | None:
        """The answer as a file, and what it is. Raises Failure."""
        if time.monotonic() > asked.waits_until:
            raise Failure("the request expired in the queue")
        if isinstance(asked.source, bytes):
            await asyncio.to_thread(source.write_bytes, asked.source)
        else:
            try:
                await asyncio.to_thread(self._objects.fetch, asked.source, source, most_bytes=_MAX_INPUT_BYTES)
            except (TooLarge, BotoCoreError, ClientError, OSError) as error:
                raise Failure(f"the input cannot be read: {error}") from None
        size = (await asyncio.to_thread(source.stat)).st_size
        headers = asked.headers | {"content-length": str(size)}
        try:
            async with asyncio.timeout(asked.seconds):
                sent = self._container.build_request("POST", "/invocations", content=_pieces(source), headers=headers)
                got = await self._container.send(sent, stream=True)
                try:
                    return await _taken(got, answer)
                finally:
                    await got.aclose()
        except TimeoutError:
            raise Failure(f"the container did not answer within {asked.seconds:g} seconds") from None
        except httpx2.TransportError as error:
            raise Failure(f"the container ended the connection: {error}") from None


async def _taken(got: httpx2.Response, answer: Path) -> str | None:
    if got.status_code >= 300:
        text = (await got.aread()).decode(errors="replace")
        raise Failure(f"Received error ({got.status_code}) from primary with message {text[:2048]!r}")
    if "content-length" not in got.headers:
        raise Failure("the container did not specify the required Content-Length header")
    header_bytes = sum(len(name) + len(value) + 4 for name, value in got.headers.raw)
    if header_bytes > _MAX_HEADER_BYTES:
        raise Failure(f"the headers of the answer have {header_bytes} bytes; {_MAX_HEADER_BYTES} are taken")
    with answer.open("wb") as file:
        async for piece in got.aiter_bytes():
            await asyncio.to_thread(file.write, piece)
    content_type: str | None = got.headers.get("content-type")
    return content_type


async def _pieces(source: Path) -> AsyncIterator[bytes]:
    with source.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece


def _refused(problem: str) -> Response:
    return JSONResponse({"Message": problem}, 400, headers={"x-amzn-errortype": "ValidationError"})
