"""NVIDIA NIM's face: `/v1/infer`, its health routes and its metadata."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from cosmos_handler import __version__
from cosmos_handler.api.answer import Face, answer
from cosmos_handler.api.body import read_body
from cosmos_handler.api.render import base64_of, facts
from cosmos_handler.api.stream import job_events
from cosmos_handler.api.understanding import understand_picture
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.job import Job
from cosmos_handler.messages.results import ImageOutput, TextOutput
from cosmos_handler.messages.wire import Done


def nim_router(engine: Engine) -> APIRouter:
    """The routes of a NIM for a world model; its reasoners speak OpenAI's chat."""
    router = APIRouter(prefix="/v1")

    @router.post("/infer")
    async def infer(request: Request) -> Response:
        body = await read_body(request)
        invocation = understand_picture(engine, body.one, body.uploads, strict=body.strict)
        return await answer(request, engine.submit, invocation, NIM)

    @router.get("/health/live")
    async def live() -> Response:
        return JSONResponse({"description": "the service answers", "status": "live"})

    @router.get("/health/ready")
    async def ready() -> Response:
        if engine.is_ready:
            return JSONResponse({"description": "the service takes requests", "status": "ready"})
        told = {"description": "the models are not loaded, or the service is shutting down", "status": "not_ready"}
        return JSONResponse(told, status_code=503)

    @router.get("/metadata")
    async def metadata() -> Response:
        models = [
            {"shortName": each.name, "modelUrl": each.name, "family": each.family, "revision": each.revision}
            for each in engine.checkpoints
        ]
        return JSONResponse({"version": __version__, "modelInfo": models})

    return router


def nim_answer(job: Job, done: Done) -> dict[str, Any]:
    """What NIM's clients read, and under `cosmos` what every answer here carries. Reads the file."""
    output = done.output
    if isinstance(output, TextOutput):
        raise TypeError("a request for a picture ended in words: this is a bug")
    name = "b64_image" if isinstance(output, ImageOutput) else "b64_video"
    return {
        name: base64_of(output),
        "seed": done.report.seed,
        "upsampled_prompt": done.report.upsampled_prompt,
        "cosmos": facts(job, done),
    }


NIM = Face(nim_answer, job_events)
