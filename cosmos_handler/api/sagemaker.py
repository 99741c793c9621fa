"""SageMaker's face: `/ping` and `/invocations`."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from cosmos_handler.api.accept import choose
from cosmos_handler.api.body import read_body
from cosmos_handler.api.errors import response_for
from cosmos_handler.api.openai import chat_chunks, chat_completion
from cosmos_handler.api.presence import while_there
from cosmos_handler.api.render import as_json, headers
from cosmos_handler.api.stream import JobStream, job_events
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.generation import Encoding
from cosmos_handler.engine.job import Job
from cosmos_handler.errors import CosmosError
from cosmos_handler.messages.results import ImageOutput, VideoOutput
from cosmos_handler.messages.wire import Done
from cosmos_handler.schemas.invocation import Invocation, parse
from cosmos_handler.schemas.reasoning import ChatRequest

_JSON, _STREAM = "application/json", "text/event-stream"
_MP4, _PNG, _NPZ = "video/mp4", "image/png", "application/x-npz"


def sagemaker_router(engine: Engine, *, max_body_bytes: int) -> APIRouter:
    """The routes that the platform forwards."""
    router = APIRouter()

    # The contract says GET in one place and POST in another; both are answered.
    @router.api_route("/ping", methods=["GET", "POST"])
    async def ping() -> Response:
        ready = engine.is_ready
        return JSONResponse({"status": "ready" if ready else "loading"}, status_code=200 if ready else 503)

    @router.post("/invocations")
    async def invocations(request: Request) -> Response:
        body, uploads, strict = await read_body(request, max_body_bytes)
        invocation = parse(body, models=engine.served, uploads=uploads, strict=strict)
        media_type = _media_type(request, invocation)
        async with AsyncExitStack() as stack:
            encoding: Encoding = "npz" if media_type == _NPZ else "png" if _is_picture(invocation) else "mp4"
            async with while_there(request):  # media are decoded here, which takes its time
                job = await stack.enter_async_context(engine.submit(invocation, encoding))
            request.state.job_id = job.id
            if media_type == _STREAM:
                chunks = chat_chunks if isinstance(invocation.request, ChatRequest) else job_events
                return JobStream(chunks(job, job.listen()), job_context=stack.pop_all(), job_id=job.id)
            whole = chat_completion if isinstance(invocation.request, ChatRequest) else as_json
            return await _answer(request, job, whole)

    return router


def _media_type(request: Request, invocation: Invocation) -> str:
    asked = invocation.request
    if isinstance(asked, ChatRequest) and asked.stream:
        return _STREAM
    offered: tuple[str, ...] = (_JSON, _STREAM)
    if invocation.task != "reasoner":
        offered = (_JSON, _PNG if _is_picture(invocation) else _MP4, _NPZ, _STREAM)
    return choose(request.headers.get("accept"), offered)


def _is_picture(invocation: Invocation) -> bool:
    return invocation.task == "text2image"


async def _answer(request: Request, job: Job, whole: Callable[[Job, Done], dict[str, Any]]) -> Response:
    try:
        async with while_there(request):
            done = await job.result()
    except CosmosError as error:
        return response_for(error, job_id=job.id)
    if isinstance(done.output, VideoOutput | ImageOutput) and _wants_file(request):
        data = await asyncio.to_thread(Path(done.output.path).read_bytes)
        return Response(data, media_type=done.output.media_type, headers=headers(job, done))
    return JSONResponse(await asyncio.to_thread(whole, job, done), headers={"X-Cosmos-Job-Id": job.id})


def _wants_file(request: Request) -> bool:
    return choose(request.headers.get("accept"), (_JSON, _MP4, _PNG, _NPZ)) != _JSON
