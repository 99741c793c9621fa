"""OpenAI's `/v1/videos`, the one face whose jobs outlive their request."""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from cosmos_handler.api.accept import choose
from cosmos_handler.api.answer import JSON, NPZ, encoding_for
from cosmos_handler.api.body import read_body
from cosmos_handler.api.jobs import Jobs
from cosmos_handler.api.presence import while_there
from cosmos_handler.api.understanding import understand_picture
from cosmos_handler.engine.engine import Engine
from cosmos_handler.errors import InvalidField

_MAX_PAGE = 100


def videos_router(engine: Engine, jobs: Jobs) -> APIRouter:
    """Create, look, listen, fetch, delete."""
    router = APIRouter(prefix="/v1/videos")

    @router.post("")
    async def create(request: Request) -> Response:
        body = await read_body(request)
        invocation = understand_picture(engine, body.one, body.uploads, strict=body.strict)
        media_type = choose(request.headers.get("accept"), (JSON, NPZ))
        async with while_there(request):  # whoever leaves before he has the id could never fetch it
            video = await jobs.create(invocation, encoding_for(invocation, media_type))
        job_id = video["id"]
        place = {"X-Cosmos-Job-Id": job_id, "Location": f"/v1/videos/{job_id}"}
        return JSONResponse(video, status_code=202, headers=place)

    @router.get("")
    async def page(after: str | None = None, limit: str = "20", order: str = "desc") -> Response:
        most, newest_first = _limit(limit), _order(order) == "desc"
        ids = await jobs.ids()
        rest = _after(after, list(reversed(ids)) if newest_first else list(ids))
        data = await jobs.get_all(rest[:most])
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return JSONResponse({"object": "list", "data": data, **ends, "has_more": len(rest) > most})

    @router.get("/{job_id}")
    async def get(job_id: str) -> Response:
        return JSONResponse(await jobs.get(job_id))

    @router.delete("/{job_id}")
    async def delete(job_id: str) -> Response:
        status = (await jobs.delete(job_id))["status"]
        return JSONResponse({"id": job_id, "object": "video.deleted", "deleted": True, "status": status})

    @router.get("/{job_id}/content")
    async def content(job_id: str, variant: str = "video") -> Response:
        if variant != "video":
            raise InvalidField("variant", f"is {variant[:100]!r}", allowed="video")
        return await jobs.content(job_id)

    @router.get("/{job_id}/events")
    async def events(job_id: str) -> Response:
        return StreamingResponse(await jobs.events(job_id), media_type="text/event-stream")

    return router


def _after(after: str | None, ids: list[str]) -> list[str]:
    if after is None:
        return ids
    if after not in ids:
        raise InvalidField("after", f"is {after[:100]!r}, which is no job", allowed="the id of a job")
    return ids[ids.index(after) + 1 :]


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= _MAX_PAGE):
        raise InvalidField("limit", f"is {text[:100]!r}", allowed=f"1 to {_MAX_PAGE}")
    return int(text)


def _order(text: str) -> Literal["asc", "desc"]:
    if text not in ("asc", "desc"):
        raise InvalidField("order", f"is {text[:100]!r}", allowed="asc or desc")
    return "asc" if text == "asc" else "desc"
