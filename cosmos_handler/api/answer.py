"""A caller who waits: one job, run for as long as he listens, answered in the words of his face."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from cosmos_handler.api.accept import choose
from cosmos_handler.api.errors import response_for
from cosmos_handler.api.json_text import JSON_LINES
from cosmos_handler.api.openai import chat_chunks, chat_completion
from cosmos_handler.api.presence import while_there
from cosmos_handler.api.render import as_json, headers
from cosmos_handler.api.stream import JobStream, job_events, job_lines
from cosmos_handler.engine.job import Job, Listener
from cosmos_handler.errors import CosmosError
from cosmos_handler.messages.results import TextOutput
from cosmos_handler.messages.tasks import MEDIA_TYPES, Encoding
from cosmos_handler.messages.wire import Done
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.reasoning import ChatRequest

JSON, STREAM = "application/json", "text/event-stream"
MP4, PNG, NPZ = MEDIA_TYPES["mp4"], MEDIA_TYPES["png"], MEDIA_TYPES["npz"]


# How one asks for a job: leaving the block says that he is gone.
Submit = Callable[[Invocation, Encoding], AbstractAsyncContextManager[Job]]


@dataclass(frozen=True)
class Face:
    """How a kind of client hears of its job. whole: the JSON answer, made off the event loop; pieces: a stream."""

    whole: Callable[[Job, Done], dict[str, Any]]
    pieces: Callable[[Job, Listener], AsyncIterator[bytes]]


PLAIN = Face(as_json, job_events)
CHAT = Face(chat_completion, chat_chunks)


def face_of(invocation: Invocation) -> Face:
    """The face that the shape of a body asks for."""
    return CHAT if isinstance(invocation.request, ChatRequest) else PLAIN


async def answer(
    request: Request, submit: Submit, invocation: Invocation, face: Face, *, listens: bool = False
) -> Response:
    """Run it and answer as the Accept header wishes. listens: who has no wish gets a stream. Raises as submit does."""
    media_type = _media_type(request, invocation, listens=listens)
    async with AsyncExitStack() as stack:
        async with while_there(request):  # media are decoded here, which takes its time
            job = await stack.enter_async_context(submit(invocation, encoding_for(invocation, media_type)))
        request.state.job_id = job.id
        if media_type in (STREAM, *JSON_LINES):
            pieces = (face.pieces if media_type == STREAM else job_lines)(job, job.listen())
            return JobStream(pieces, media_type, job_context=stack.pop_all(), job_id=job.id)
        return await _whole(request, job, face, as_file=media_type != JSON)


def encoding_for(invocation: Invocation, media_type: str) -> Encoding:
    """How frames are to be written for a kind of answer."""
    return "npz" if media_type == NPZ else "png" if _is_picture(invocation) else "mp4"


def _media_type(request: Request, invocation: Invocation, *, listens: bool) -> str:
    asked = invocation.request
    if isinstance(asked, ChatRequest) and asked.stream:
        return STREAM
    offered: tuple[str, ...] = (JSON, STREAM, *JSON_LINES)
    if invocation.task != "reasoner":
        offered = (JSON, PNG if _is_picture(invocation) else MP4, NPZ, STREAM, *JSON_LINES)
    if listens:
        offered = (STREAM, *(each for each in offered if each != STREAM))
    return choose(request.headers.get("accept"), offered)


def _is_picture(invocation: Invocation) -> bool:
    return invocation.task == "text2image"


async def _whole(request: Request, job: Job, face: Face, *, as_file: bool) -> Response:
    try:
        async with while_there(request):
            done = await job.result()
    except CosmosError as error:
        return response_for(error, job_id=job.id)
    if as_file and not isinstance(done.output, TextOutput):
        data = await asyncio.to_thread(Path(done.output.path).read_bytes)
        return Response(data, media_type=done.output.media_type, headers=headers(job, done))
    return JSONResponse(await asyncio.to_thread(face.whole, job, done), headers={"X-Cosmos-Job-Id": job.id})
