"""SageMaker's face: `/ping`, `/invocations` and `/execution-parameters`."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from cosmos_handler.api.accept import choose
from cosmos_handler.api.answer import JSON, MP4, NPZ, PNG, answer
from cosmos_handler.api.caller import heard
from cosmos_handler.api.errors import body_of
from cosmos_handler.api.json_text import JSON_LINES
from cosmos_handler.api.recognition import understand_one
from cosmos_handler.api.several import answer_record, answer_several
from cosmos_handler.api.surroundings import Surroundings
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.repeats import Repeats
from cosmos_handler.errors import RequestError
from cosmos_handler.schemas.samples import is_several

# What the platform lets MaxPayloadInMB and MaxConcurrentTransforms come to, multiplied.
_MAX_PAYLOADS_MB = 100


def sagemaker_router(engine: Engine, repeats: Repeats, around: Surroundings) -> APIRouter:
    """The routes that the platform forwards."""
    router = APIRouter()

    # The contract says GET in one place and POST in another; both are answered.
    @router.api_route("/ping", methods=["GET", "HEAD", "POST"])
    async def ping() -> Response:
        ready = engine.is_ready
        return JSONResponse({"status": "ready" if ready else "loading"}, status_code=200 if ready else 503)

    @router.get("/execution-parameters")
    async def execution_parameters() -> Response:
        concurrent = min(engine.max_running, _MAX_PAYLOADS_MB)
        told = {
            "MaxConcurrentTransforms": concurrent,
            "BatchStrategy": "SINGLE_RECORD",
            "MaxPayloadInMB": _MAX_PAYLOADS_MB // concurrent,
        }
        return JSONResponse(told)

    @router.post("/invocations")
    async def invocations(request: Request) -> Response:
        if around.is_batch and _is_record(request):
            return await _record(request, engine, repeats, around)
        body, caller = await heard(request, engine, repeats, around)
        if is_several(body.content):
            return await answer_several(request, caller, body)
        # Off the event loop: a long conversation takes a second.
        invocation, face = await asyncio.to_thread(understand_one, engine, body)
        return await answer(request, caller.submit, invocation, face, listens=caller.listens)

    return router


def _is_record(request: Request) -> bool:
    """Whether the answer is a line of a file, and not a file of its own such as a video."""
    offered = (JSON, *JSON_LINES, MP4, PNG, NPZ)
    return choose(request.headers.get("accept"), offered) in (JSON, *JSON_LINES)


async def _record(request: Request, engine: Engine, repeats: Repeats, around: Surroundings) -> Response:
    """A record of a batch transform job: what is wrong with it is its answer, for the sake of its file."""
    try:
        body, caller = await heard(request, engine, repeats, around)
        return await answer_record(request, caller, body)
    except RequestError as error:
        return JSONResponse(body_of(error))
