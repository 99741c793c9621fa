"""The one table: what each class of error looks like over HTTP."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cosmos_handler import errors
from cosmos_handler.engine.job import new_job_id

log = logging.getLogger(__name__)

# Names and values of the client's come back in errors, and may be as long as a body.
_MAX_MESSAGE_CHARACTERS = 800
_MAX_FIELD_CHARACTERS = 200
# What SageMaker passes on of an error.
_MAX_BODY_CHARACTERS = 2048

# Of running what takes longer than a request may.
_OTHER_WAYS = (
    "asynchronous inference, which waits up to an hour",
    "batch transform, likewise",
    "a job of /v1/videos, where no endpoint stands in front",
)

# Routes of the platform's that this container does not have.
_NOT_SERVED = {
    "models": "multi-model endpoints are not served: a model folder may hold several models, and the field model "
    "chooses one",
    "adapters": "adapters are not loaded at run time: LoRA adapters lie in the model folder, and the field lora "
    "chooses one",
    "invocations-bidirectional-stream": "bidirectional streaming is not served: with Accept: text/event-stream an "
    "invocation tells of every step",
}


@dataclass(frozen=True)
class Row:
    """status: HTTP's; type: the word in `error.type`; tell: whether the message is meant for the client."""

    status: int
    type: str
    tell: bool = True


TABLE: Mapping[type[errors.CosmosError], Row] = {
    errors.InvalidBody: Row(400, "invalid_body"),
    errors.InvalidField: Row(400, "invalid_field"),
    errors.UnknownModel: Row(400, "unknown_model"),
    errors.MediaError: Row(400, "invalid_media"),
    errors.TooLarge: Row(413, "too_large"),
    errors.UnknownJob: Row(404, "unknown_job"),
    errors.NotDone: Row(409, "not_done"),
    errors.RepeatDiffers: Row(409, "repeat_differs"),
    errors.NotShared: Row(409, "jobs_not_shared"),
    errors.Unauthorized: Row(401, "unauthorized"),
    errors.OverWindow: Row(400, "over_window"),
    errors.TooSlow: Row(408, "too_slow"),
    errors.Blocked: Row(400, "guardrail"),
    errors.UnsupportedMediaType: Row(415, "unsupported_media_type"),
    errors.NotAcceptable: Row(406, "not_acceptable"),
    errors.NotLocated: Row(503, "loading"),
    errors.NotLoaded: Row(503, "loading"),
    errors.BacklogFull: Row(429, "backlog_full"),
    errors.JobsUnreachable: Row(503, "jobs_unreachable"),
    errors.BodiesFull: Row(503, "bodies_full"),
    errors.Stopping: Row(503, "stopping"),
    errors.JobCancelled: Row(499, "cancelled"),
    errors.WillNotFit: Row(507, "will_not_fit"),
    errors.OutOfMemory: Row(507, "out_of_memory"),
    errors.JobFailed: Row(500, "job_failed"),
    errors.WorkerDied: Row(500, "worker_died"),
    errors.WorkerStuck: Row(500, "worker_stuck"),
    errors.InstanceLost: Row(500, "instance_lost"),
    errors.StoreFailed: Row(500, "store_failed"),
    errors.DecoderFailed: Row(500, "decoder_failed"),
    # These end the server at its start. Should one ever reach a request, its text is for the deployer's eyes only.
    errors.SettingsError: Row(500, "setup", tell=False),
    errors.CheckpointError: Row(500, "setup", tell=False),
    errors.GuardrailsIncomplete: Row(500, "setup", tell=False),
    errors.DoesNotFit: Row(500, "setup", tell=False),
    errors.WorkerFailed: Row(500, "setup", tell=False),
}


def body_of(error: errors.CosmosError, *, job_id: str | None = None) -> dict[str, Any]:
    """The error object, useful part first: SageMaker passes on 2,048 characters."""
    row = TABLE[type(error)]
    message = str(error) if row.tell else "the server is not set up"
    if field := getattr(error, "field", None):  # a long name must not push out what is wrong with it
        message = message.replace(field, _clipped(field, _MAX_FIELD_CHARACTERS), 1)
    body: dict[str, Any] = {"type": row.type, "message": _clipped(message, _MAX_MESSAGE_CHARACTERS)}
    for name, most in (("field", _MAX_FIELD_CHARACTERS), ("allowed", _MAX_MESSAGE_CHARACTERS)):
        value = getattr(error, name, None)
        if value is not None:
            body[name] = _clipped(value, most)
    if job_id is not None:
        body["job_id"] = job_id
    if isinstance(error, errors.Blocked):
        body |= {"check": error.check, "guardrails": list(error.findings)}
    elif isinstance(error, errors.OverWindow):
        seconds = {"predicted_seconds": round(error.predicted_seconds, 1), "window_seconds": error.window_seconds}
        body |= {"nearest": dict(error.nearest) or None, **seconds, "other_ways": list(_OTHER_WAYS)}
    elif isinstance(error, errors.WillNotFit):
        body |= {"nearest": dict(error.nearest) or None}
        body["plan"] = _lines(error.table, _MAX_BODY_CHARACTERS - len(json.dumps({"error": body | {"plan": []}})))
    return {"error": body}


def _lines(table: str, most: int) -> list[str]:
    """As many of its lines as go into so many characters of JSON."""
    kept: list[str] = []
    for line in table.splitlines():
        most -= len(json.dumps(line)) + 2  # with what stands between two of them
        if most < 0:
            break
        kept.append(line)
    return kept


def _clipped(text: str, most: int) -> str:
    """At most so many characters; half a character, which no answer could carry, as its escape."""
    kept = text if len(text) <= most else f"{text[: most - 1]}…"
    return kept.encode(errors="backslashreplace").decode()


def response_for(error: errors.CosmosError, *, job_id: str | None = None) -> JSONResponse:
    """The answer that an error becomes."""
    if isinstance(error, errors.JobFailed):
        job_id = job_id or error.job_id
    headers = {"X-Cosmos-Job-Id": job_id} if job_id else {}
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after_seconds)
    elif isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, errors.TooSlow):
        headers["Connection"] = "close"  # what still comes is not waited for
    return JSONResponse(body_of(error, job_id=job_id), status_code=TABLE[type(error)].status, headers=headers)


async def handle_cosmos_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for the tree."""
    if not isinstance(error, errors.CosmosError):
        raise error
    return response_for(error)


async def handle_http(request: Request, error: Exception) -> Response:
    """A route or a method that is none, in the same form as every other error."""
    if not isinstance(error, HTTPException):
        raise error
    kind, message = error.detail.lower().replace(" ", "_"), f"{request.method}: {error.detail}"
    sentence = _NOT_SERVED.get(request.url.path.split("/")[1]) if error.status_code == 404 else None
    if sentence is not None:
        kind, message = "not_served", sentence
    body = {"error": {"type": kind, "message": message}}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def handle_unexpected(request: Request, error: Exception) -> Response:
    """The app's last handler: a fault of ours, told without its text."""
    job_id = getattr(request.state, "job_id", None) or new_job_id()  # something to search the log for
    route = getattr(request.scope.get("route"), "path", "no route")  # not the path, which is the client's own words
    log.error("unexpected fault at %s in job %s", route, job_id, exc_info=error)
    body = {"type": "internal", "message": "an internal fault; the log has it", "job_id": job_id}
    return JSONResponse({"error": body}, status_code=500, headers={"X-Cosmos-Job-Id": job_id})
