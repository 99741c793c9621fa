"""OpenAI's `/v1/chat/completions`."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from cosmos_handler.api.answer import CHAT, answer
from cosmos_handler.api.body import read_body
from cosmos_handler.api.understanding import understand
from cosmos_handler.engine.engine import Engine
from cosmos_handler.errors import InvalidField


def chat_router(engine: Engine) -> APIRouter:
    """The one route; a body with messages on /invocations is the same."""
    router = APIRouter()

    @router.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        body = await read_body(request)
        if "messages" not in body.one:
            raise InvalidField("messages", "is needed", allowed="a list of messages, one at least")
        # Off the event loop: a long conversation takes a second.
        invocation = await asyncio.to_thread(understand, engine, body.one, body.uploads, strict=body.strict)
        return await answer(request, engine.submit, invocation, CHAT)

    return router
