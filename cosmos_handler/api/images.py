"""OpenAI's `/v1/images/generations`, for models that make pictures from text."""

import json
import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from cosmos_handler.api.answer import Face, answer
from cosmos_handler.api.body import Body, read_body
from cosmos_handler.api.render import base64_of, facts
from cosmos_handler.api.stream import job_events
from cosmos_handler.api.understanding import understand_picture
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.job import Job
from cosmos_handler.errors import InvalidField
from cosmos_handler.messages.results import ImageOutput
from cosmos_handler.messages.wire import Done
from cosmos_handler.schemas.invocation import Invocation

# OpenAI's fields that have one value here, in the words of JSON and of a form.
_ONLY: Mapping[str, tuple[object, ...]] = {
    "n": (1, "1"),
    "response_format": ("b64_json",),
    "output_format": ("png",),
    "quality": ("auto",),
    "background": ("auto", "opaque"),
    "moderation": ("auto",),
    "stream": (False, "false"),
}


def images_router(engine: Engine) -> APIRouter:
    """The one route."""
    router = APIRouter()

    @router.post("/v1/images/generations")
    async def generations(request: Request) -> Response:
        body = await read_body(request)
        return await answer(request, engine.submit, understand_image(engine, body), IMAGES)

    return router


def is_image_body(fields: Mapping[str, Any]) -> bool:
    """Whether a body is OpenAI's request for an image: no other has these fields without messages."""
    if "messages" in fields:
        return False
    return bool(fields.keys() & {"n", "output_format"}) or fields.get("response_format") in ("b64_json", "url")


def understand_image(engine: Engine, body: Body) -> Invocation:
    """Raises InvalidField, which lists what the models can do where none makes pictures from text."""
    fields = dict(body.one)
    for name, allowed in _ONLY.items():
        value = fields.pop(name, None)
        if value is not None and value not in allowed:
            raise InvalidField(name, f"is {str(value)[:100]!r}", allowed=json.dumps(allowed[0]).strip('"'))
    if fields.get("size") == "auto":
        del fields["size"]
    if not fields.keys() & {"inference_type", "model_mode"}:
        fields["inference_type"] = "text2image"
    invocation = understand_picture(engine, fields, body.uploads, strict=body.strict)
    if invocation.task != "text2image":
        raise InvalidField("inference_type", f"is {invocation.task}, which makes a video", allowed="text2image")
    return invocation


def image_answer(job: Job, done: Done) -> dict[str, Any]:
    """OpenAI's images response. Reads the file."""
    output = done.output
    if not isinstance(output, ImageOutput):
        raise TypeError("a request for an image ended in something else: this is a bug")
    return {
        "created": int(time.time()),
        "data": [{"b64_json": base64_of(output)}],
        "output_format": "png",
        "size": f"{output.width}x{output.height}",
        "cosmos": facts(job, done),
    }


IMAGES = Face(image_answer, job_events)
