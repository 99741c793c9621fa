"""OpenAI's `/v1/videos`, the one face whose jobs outlive their request."""

from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse

from cosmos_handler.api.accept import choose
from cosmos_handler.api.answer import JSON, NPZ, encoding_for
from cosmos_handler.api.body import read_body
from cosmos_handler.api.presence import while_there
from cosmos_handler.api.render import headers
from cosmos_handler.api.stream import HEARTBEAT, HEARTBEAT_SECONDS, event
from cosmos_handler.api.understanding import understand_picture
from cosmos_handler.api.video_object import video_object
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.job import Listener, State
from cosmos_handler.engine.jobstore import JobStore, KeptJob
from cosmos_handler.errors import InvalidField, NotDone
from cosmos_handler.messages.results import TextOutput
from cosmos_handler.messages.wire import Progress

_MAX_PAGE = 100


def videos_router(engine: Engine, store: JobStore) -> APIRouter:
    """Create, look, listen, fetch, delete."""
    router = APIRouter(prefix="/v1/videos")

    def shown(kept: KeptJob) -> dict[str, Any]:
        return video_object(kept, queue_position=engine.queue_position(kept.job))

    @router.post("")
    async def create(request: Request) -> Response:
        body = await read_body(request)
        invocation = understand_picture(engine, body.one, body.uploads, strict=body.strict)
        media_type = choose(request.headers.get("accept"), (JSON, NPZ))
        async with while_there(request):  # whoever leaves before he has the id could never fetch it
            kept = await store.create(invocation, encoding_for(invocation, media_type))
        job_id = kept.job.id
        place = {"X-Cosmos-Job-Id": job_id, "Location": f"/v1/videos/{job_id}"}
        return JSONResponse(shown(kept), status_code=202, headers=place)

    @router.get("")
    async def page(after: str | None = None, limit: str = "20", order: str = "desc") -> Response:
        return JSONResponse(_page(store.all(), after, _limit(limit), _order(order), shown))

    @router.get("/{job_id}")
    async def get(job_id: str) -> Response:
        return JSONResponse(shown(store.get(job_id)))

    @router.delete("/{job_id}")
    async def delete(job_id: str) -> Response:
        kept = await store.delete(job_id)
        status = video_object(kept, queue_position=None)["status"]
        return JSONResponse({"id": job_id, "object": "video.deleted", "deleted": True, "status": status})

    @router.get("/{job_id}/content")
    async def content(job_id: str, variant: str = "video") -> Response:
        if variant != "video":
            raise InvalidField("variant", f"is {variant[:100]!r}", allowed="video")
        return _content(store.get(job_id))

    @router.get("/{job_id}/events")
    async def events(job_id: str) -> Response:
        kept = store.get(job_id)
        told = _events(kept, kept.job.listen(), shown)
        return StreamingResponse(told, media_type="text/event-stream")

    return router


def _content(kept: KeptJob) -> Response:
    job = kept.job
    if job.state in (State.QUEUED, State.RUNNING):
        raise NotDone(f"job {job.id} is not done yet; GET /v1/videos/{job.id} says how far it is")
    done = job.done
    if done is None or isinstance(done.output, TextOutput):
        raise NotDone(f"job {job.id} has no result: it {job.state.value}")
    return FileResponse(done.output.path, media_type=done.output.media_type, headers=headers(job, done))


async def _events(kept: KeptJob, listener: Listener, shown: Any) -> AsyncIterator[bytes]:
    """The object as it stands, then every step, then the object as it ended; leaving early changes nothing."""
    told = shown(kept)
    yield event("status", told)
    async for happening in listener.events(heartbeat_seconds=HEARTBEAT_SECONDS):
        if isinstance(happening, Progress):
            job = kept.job
            left = job.pace.seconds_left
            data = {"stage": happening.stage, "step": happening.step, "num_steps": happening.num_steps}
            data |= {"progress": job.pace.percent, "seconds_left": None if left is None else round(left, 1)}
            yield event("progress", {"job_id": job.id, **data})
        elif shown(kept)["queue_position"] != told["queue_position"]:
            told = shown(kept)
            yield event("status", told)
        else:
            yield HEARTBEAT
    yield event(kept.job.state.value, shown(kept))


def _page(
    kept: tuple[KeptJob, ...], after: str | None, limit: int, order: Literal["asc", "desc"], shown: Any
) -> dict[str, Any]:
    ordered = list(kept if order == "asc" else reversed(kept))
    if after is not None:
        ids = [each.job.id for each in ordered]
        if after not in ids:
            raise InvalidField("after", f"is {after[:100]!r}, which is no job", allowed="the id of a job")
        ordered = ordered[ids.index(after) + 1 :]
    data = [shown(each) for each in ordered[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(ordered) > limit,
    }


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= _MAX_PAGE):
        raise InvalidField("limit", f"is {text[:100]!r}", allowed=f"1 to {_MAX_PAGE}")
    return int(text)


def _order(text: str) -> Literal["asc", "desc"]:
    if text not in ("asc", "desc"):
        raise InvalidField("order", f"is {text[:100]!r}", allowed="asc or desc")
    return "asc" if text == "asc" else "desc"
