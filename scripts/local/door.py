"""The runtime paths that boto3's `sagemaker-runtime` and the OpenAI client call, in front of one container."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from scripts.local.frame import model_stream_error, payload_part
from scripts.local.objects import Objects
from scripts.local.queue import Destination, Queue

_PREFIX = "x-amzn-sagemaker-"
_FORWARDED = frozenset(
    ["content-type", "accept"]
    + [_PREFIX + name for name in ("custom-attributes", "target-model", "target-variant", "target-container-hostname")]
    + [_PREFIX + name for name in ("inference-id", "inference-component", "enable-explanations", "prefix-aware-id")]
    + [_PREFIX + name for name in ("session-id", "adapter-identifier", "adapter-alias")]
)
_RETURNED = tuple(_PREFIX + name for name in ("custom-attributes", "new-session-id", "closed-session-id"))
_VARIANT = {"x-amzn-invoked-production-variant": "AllTraffic"}
_LOG = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/local:log-stream:AllTraffic/local"


@dataclass(frozen=True)
class Limits:
    """What the platform allows."""

    answer_seconds: float = 60
    stream_seconds: float = 480
    payload_bytes: int = 25 * 1024 * 1024


def make_door(
    container_url: str, limits: Limits, destination: Destination | None = None, objects: Objects | None = None
) -> Starlette:
    """The app that forwards to the container at this address. destination: None without asynchronous inference."""
    container = httpx2.AsyncClient(base_url=container_url, timeout=None, trust_env=False)
    queue = Queue(container, destination, objects or Objects()) if destination else None
    door = _Door(container, limits, queue)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        async with door.container:
            yield
            if door.queue is not None:
                await door.queue.close()

    here = "/endpoints/{name}"
    openai = "/openai/v1/{rest:path}"
    return Starlette(
        routes=[
            Route(here + "/invocations", door.invoke, methods=["POST"]),
            Route(here + "/async-invocations", door.asynchronous, methods=["POST"]),
            Route(here + "/invocations-response-stream", door.stream, methods=["POST"]),
            Route(here + openai, door.openai, methods=["GET", "POST", "DELETE"]),
            Route(here + "/inference-components/{component}" + openai, door.openai, methods=["GET", "POST", "DELETE"]),
            Route("/ping", door.own),
            Route("/execution-parameters", door.own),
            Route("/invocations", door.own, methods=["POST"]),
        ],
        lifespan=life,
    )


@dataclass(frozen=True)
class _Door:
    container: httpx2.AsyncClient
    limits: Limits
    queue: Queue | None

    async def invoke(self, request: Request) -> Response:
        body = await self._body(request)
        if body is None:
            return self._too_large()
        headers = _forwarded(request, "InvokeEndpoint")
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                answer = await self.container.post("/invocations", content=body, headers=headers)
        except (TimeoutError, httpx2.TransportError) as error:
            return _no_answer(error)
        if answer.status_code >= 400:
            return _model_error(answer.status_code, answer.text)
        return Response(answer.content, headers=_returned(answer, "content-type"))

    async def stream(self, request: Request) -> Response:
        body = await self._body(request)
        if body is None:
            return self._too_large()
        headers = _forwarded(request, "InvokeEndpointWithResponseStream")
        headers.pop("accept", None)
        if wanted := request.headers.get(_PREFIX + "accept"):
            headers["accept"] = wanted
        deadline = asyncio.get_running_loop().time() + self.limits.stream_seconds
        asked = self.container.build_request("POST", "/invocations", content=body, headers=headers)
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self.container.send(asked, stream=True)
                if answer.status_code >= 400:
                    await answer.aread()
        except (TimeoutError, httpx2.TransportError) as error:
            return _no_answer(error)
        if answer.status_code >= 400:
            return _model_error(answer.status_code, answer.text)
        back = _returned(answer, _PREFIX + "content-type")
        frames = _frames(answer, deadline)
        return StreamingResponse(frames, headers=back, media_type="application/vnd.amazon.eventstream")

    async def asynchronous(self, request: Request) -> Response:
        if self.queue is None:
            sentence = "This endpoint has no AsyncInferenceConfig: start it with --async-output-s3-uri."
            return _error(400, "ValidationError", {"Message": sentence})
        body = await self._body(request)
        if body is None:
            return self._too_large()
        headers = _forwarded(request, "InvokeEndpointAsync")
        for name in ("content-type", "accept"):
            headers.pop(name, None)
            if wanted := request.headers.get(_PREFIX + name):
                headers[name] = wanted
        return await self.queue.accept(request, body, headers)

    async def openai(self, request: Request) -> Response:
        return await self._passed(request, "/v1/" + request.path_params["rest"])

    async def own(self, request: Request) -> Response:
        """The container's own paths, which the SageMaker SDK calls in its local mode; statuses are the container's."""
        return await self._passed(request, request.url.path)

    async def _passed(self, request: Request, path: str) -> Response:
        """Whatever the container answers, as it is; its errors too, which the client knows by their status."""
        body = await self._body(request)
        if body is None:
            return self._too_large()
        headers = _forwarded(request, "InvokeEndpoint")
        url = httpx2.URL(path=path, query=request.url.query.encode())
        asked = self.container.build_request(request.method, url, content=body, headers=headers)
        deadline = asyncio.get_running_loop().time() + self.limits.stream_seconds
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                answer = await self.container.send(asked, stream=True)
                is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
                if not is_stream:
                    await answer.aread()
        except (TimeoutError, httpx2.TransportError) as error:
            return _no_answer(error)
        headers = _returned(answer, "content-type")
        if is_stream:
            return StreamingResponse(_events(answer, deadline), answer.status_code, headers)
        return Response(answer.content, answer.status_code, headers)

    async def _body(self, request: Request) -> bytes | None:
        """The body, or none when it is larger than the platform takes."""
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > self.limits.payload_bytes:
                return None
        return bytes(body)

    def _too_large(self) -> Response:
        sentence = f"The body is larger than the {self.limits.payload_bytes} bytes that the platform takes."
        return _error(400, "ValidationError", {"Message": sentence})


async def _bytes(answer: httpx2.Response, deadline: float) -> AsyncIterator[bytes]:
    try:
        async with asyncio.timeout_at(deadline):
            async for piece in answer.aiter_bytes():
                yield piece
    finally:
        await answer.aclose()


async def _frames(answer: httpx2.Response, deadline: float) -> AsyncIterator[bytes]:
    try:
        async for piece in _bytes(answer, deadline):
            yield payload_part(piece)
    except TimeoutError:
        yield model_stream_error("ModelInvocationTimeExceeded", "The stream took longer than the platform allows.")
    except httpx2.TransportError as error:
        yield model_stream_error("StreamBroken", f"The container ended the connection: {error}")


async def _events(answer: httpx2.Response, deadline: float) -> AsyncIterator[bytes]:
    """A stream of events that cannot go on ends in one from which the client knows it: it has had a 200."""
    try:
        async for piece in _bytes(answer, deadline):
            yield piece
    except TimeoutError:
        yield _error_event("The stream took longer than the platform allows.")
    except httpx2.TransportError as error:
        yield _error_event(f"The container ended the connection: {error}")


def _error_event(sentence: str) -> bytes:
    return b"\n\ndata: " + json.dumps({"error": {"type": "ModelStreamError", "message": sentence}}).encode() + b"\n\n"


def _forwarded(request: Request, api: str) -> dict[str, str]:
    kept = {name: value for name, value in request.headers.items() if name in _FORWARDED}
    return kept | {_PREFIX + "forwarded-api": api}


def _returned(answer: httpx2.Response, content_type_name: str) -> dict[str, str]:
    kept = {name: answer.headers[name] for name in _RETURNED if name in answer.headers}
    content_type = answer.headers.get("content-type")
    return kept | _VARIANT | ({content_type_name: content_type} if content_type else {})


def _no_answer(error: TimeoutError | httpx2.TransportError) -> Response:
    if isinstance(error, TimeoutError):
        return _model_error(0, "Your invocation timed out while waiting for a response from container primary.")
    return _model_error(0, f"The container ended the connection: {error}")


def _model_error(status: int, text: str) -> Response:
    fields: dict[str, str | int]
    sentence = f'Received error ({status}) from primary with message "{text[:2048]}". See {_LOG} for more information.'
    fields = {"OriginalStatusCode": status, "OriginalMessage": text[:2048], "LogStreamArn": _LOG, "Message": sentence}
    return _error(424, "ModelError", fields)


def _error(status: int, kind: str, fields: dict[str, str | int]) -> Response:
    return JSONResponse(fields, status, headers={"x-amzn-errortype": kind})
