"""SageMaker's face: `/ping` and `/invocations`."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from cosmos_handler.api.answer import Face, answer, face_of
from cosmos_handler.api.body import Body, read_body
from cosmos_handler.api.images import IMAGES, is_image_body, understand_image
from cosmos_handler.api.nim import NIM
from cosmos_handler.api.several import answer_several
from cosmos_handler.api.understanding import understand, understand_picture
from cosmos_handler.engine.engine import Engine
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.samples import is_several


def sagemaker_router(engine: Engine) -> APIRouter:
    """The routes that the platform forwards."""
    router = APIRouter()

    # The contract says GET in one place and POST in another; both are answered.
    @router.api_route("/ping", methods=["GET", "HEAD", "POST"])
    async def ping() -> Response:
        ready = engine.is_ready
        return JSONResponse({"status": "ready" if ready else "loading"}, status_code=200 if ready else 503)

    @router.post("/invocations")
    async def invocations(request: Request) -> Response:
        body = await read_body(request)
        if is_several(body.content):
            return await answer_several(request, engine, body)
        # Off the event loop: a long conversation takes a second.
        invocation, face = await asyncio.to_thread(understand_one, engine, body)
        return await answer(request, engine, invocation, face)

    return router


def understand_one(engine: Engine, body: Body) -> tuple[Invocation, Face]:
    """What a body with one job means, and whose words the answer has. Raises as understand does."""
    if is_image_body(body.one):
        return understand_image(engine, body), IMAGES
    if "video_params" in body.one:  # NIM's own shape
        return understand_picture(engine, body.one, body.uploads, strict=body.strict), NIM
    invocation = understand(engine, body.one, body.uploads, strict=body.strict)
    return invocation, face_of(invocation)
