"""`/plan`: where everything would lie while a request runs, what that takes and how long; nothing is run."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from cosmos_handler.api.accept import choose
from cosmos_handler.api.answer import JSON, encoding_for
from cosmos_handler.api.body import read_body
from cosmos_handler.api.errors import body_of
from cosmos_handler.api.presence import while_there
from cosmos_handler.api.recognition import understand_one
from cosmos_handler.engine.engine import Engine
from cosmos_handler.errors import InvalidBody, OverWindow, UnknownModel, WillNotFit
from cosmos_handler.memory.plan import Plan
from cosmos_handler.schemas.samples import is_several

TEXT = "text/plain"


def plan_router(engine: Engine) -> APIRouter:
    """The plan of a request, and those of the models' usual requests."""
    router = APIRouter()

    @router.post("/plan")
    async def of_request(request: Request) -> Response:
        body = await read_body(request)
        if is_several(body.content):
            raise InvalidBody("the body holds several jobs; a plan is made for one")
        media_type = choose(request.headers.get("accept"), (JSON, TEXT))
        invocation, _ = await asyncio.to_thread(understand_one, engine, body)
        async with while_there(request):  # media are decoded here, whose sizes count
            plan = await engine.plan(invocation, encoding_for(invocation, JSON))
        if media_type == TEXT:
            return PlainTextResponse(f"{_heading(invocation.model.name, invocation.task)}{plan.table()}\n")
        return JSONResponse({"model": invocation.model.name, "task": invocation.task, **plan.as_json()})

    @router.get("/plan")
    async def of_models(request: Request, model: str | None = None) -> Response:
        media_type = choose(request.headers.get("accept"), (JSON, TEXT))
        found = [(name, await _usual(engine, name)) for name in _names(engine, model)]
        if media_type == TEXT:
            return PlainTextResponse("\n".join(_table(name, plan) for name, plan in found))
        return JSONResponse({"plans": [{"model": name, **_object(plan)} for name, plan in found]})

    return router


async def _usual(engine: Engine, name: str) -> Plan | WillNotFit | OverWindow:
    """A model's plan, or why it has none: the others have theirs."""
    try:
        return await engine.usual_plan(name)
    except (WillNotFit, OverWindow) as error:
        return error


def _names(engine: Engine, wanted: str | None) -> list[str]:
    served = engine.served
    names = [each.name for each in served if wanted is None or each.answers_to(wanted)]
    if not names:
        known = ", ".join(each.name for each in served)
        raise UnknownModel("model", f"there is no model {str(wanted)[:100]!r}", allowed=known)
    return names


def _object(plan: Plan | WillNotFit | OverWindow) -> dict[str, Any]:
    return plan.as_json() if isinstance(plan, Plan) else body_of(plan)


def _table(name: str, plan: Plan | WillNotFit | OverWindow) -> str:
    heading = _heading(name, "its usual request")
    if isinstance(plan, Plan):
        return f"{heading}{plan.table()}\n"
    return f"{heading}  {plan}\n" + (f"{plan.table}\n" if isinstance(plan, WillNotFit) else "")


def _heading(name: str, what: str) -> str:
    return f"{name}, {what}:\n"
