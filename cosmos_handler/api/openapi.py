"""`/openapi.json`: every route, what it takes, and every status that can come of it, read off the table of errors."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic.json_schema import models_json_schema

from cosmos_handler import __version__, errors
from cosmos_handler.api.answer import JSON, MP4, NPZ, PNG, STREAM
from cosmos_handler.api.errors import TABLE
from cosmos_handler.api.json_text import JSON_LINES
from cosmos_handler.api.plan import TEXT as PLAIN
from cosmos_handler.schemas.invocation import CHAT, GENERATION, REASONING, Shape

_SHAPES: Mapping[str, Shape] = {
    "Predict": GENERATION["predict2.5"],
    "Transfer": GENERATION["transfer2.5"],
    "Omni": GENERATION["cosmos3"],
    "Continue": GENERATION["autoregressive"],
    "Reasoning": REASONING,
    "Chat": CHAT,
}
_PICTURES = ("Predict", "Transfer", "Omni", "Continue")
_SETUP: tuple[type[errors.CosmosError], ...] = (
    errors.SettingsError,
    errors.CheckpointError,
    errors.GuardrailsIncomplete,
    errors.DoesNotFit,
    errors.WorkerFailed,
)
_OF_A_STORE: tuple[type[errors.CosmosError], ...] = (errors.UnknownJob, errors.NotDone)
# What any request for a job may end in; the rest of the table is for the deployer, or for jobs that are kept.
_OF_A_JOB: tuple[type[errors.CosmosError], ...] = tuple(kind for kind in TABLE if kind not in (*_SETUP, *_OF_A_STORE))
# What keeps a plan of no request in particular from being made.
_UNPLANNED = (errors.NotLocated, errors.NotLoaded, errors.Stopping, errors.NotAcceptable)
_ANYWHERE: tuple[type[errors.CosmosError], ...] = (errors.Unauthorized,)
# Beside the table: what is no HTTP, no route, no method of it, and faults that nobody foresaw.
_BESIDE = {400: "invalid_http", 404: "not_found", 405: "method_not_allowed", 500: "internal"}
_ERROR = {"$ref": "#/components/schemas/Error"}
_OBJECT: dict[str, Any] = {"type": "object"}
_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}


def openapi_router() -> APIRouter:
    """The one route."""
    router = APIRouter()

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return JSONResponse(document())

    return router


@cache
def document() -> dict[str, Any]:
    """The whole document, which is the same whatever models are loaded."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cosmos on SageMaker", "version": __version__},
        "security": [{"key": []}, {}],
        "paths": _paths(),
        "components": {
            "schemas": {**_request_schemas(), "Error": _error_schema()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> dict[str, Any]:
    job = {"name": "job_id", "in": "path", "required": True, "schema": _TEXT}
    model = {**job, "name": "name"}
    kept = (errors.UnknownJob,)
    any_one = [*_SHAPES]
    ping = _answers({200: _OBJECT, 503: _OBJECT})
    return {
        "/ping": {"get": ping, "post": ping, "head": _answers({200: None, 503: None})},
        "/execution-parameters": {"get": _answers({200: _OBJECT})},
        "/invocations": {"post": _work(any_one, _FILES | _LISTS, or_several=True)},
        "/v1/chat/completions": {"post": _work(["Chat"], {STREAM: _TEXT})},
        "/v1/images/generations": {"post": _work(["Images"], _FILES)},
        "/v1/infer": {"post": _work(["Nim"], _FILES)},
        "/v1/videos": {
            "get": _answers({200: _OBJECT}, (errors.InvalidField,), _query("after", "limit", "order")),
            "post": _work(["Videos"], {}, status=202),
        },
        "/v1/videos/{job_id}": {
            "get": _answers({200: _OBJECT}, kept, [job]),
            "delete": _answers({200: _OBJECT}, kept, [job]),
        },
        "/v1/videos/{job_id}/content": {
            "get": _answers(
                {200: None}, (*_OF_A_STORE, errors.InvalidField), [job, *_query("variant")], {MP4: _BINARY, **_FRAMES}
            )
        },
        "/v1/videos/{job_id}/events": {"get": _answers({200: None}, kept, [job], {STREAM: _TEXT})},
        "/v1/models": {"get": _answers({200: _OBJECT}, (errors.NotLocated,))},
        "/v1/models/{name}": {"get": _answers({200: _OBJECT}, (errors.NotLocated, errors.UnknownModel), [model])},
        "/v1/health/live": {"get": _answers({200: _OBJECT})},
        "/v1/health/ready": {"get": _answers({200: _OBJECT, 503: _OBJECT})},
        "/v1/metadata": {"get": _answers({200: _OBJECT}, (errors.NotLocated,))},
        "/plan": {
            "get": _answers({200: _OBJECT}, (*_UNPLANNED, errors.UnknownModel), _query("model"), {PLAIN: _TEXT}),
            "post": _work(any_one, {PLAIN: _TEXT}),
        },
        "/metrics": {"get": _answers({200: None}, (), (), {PLAIN: _TEXT})},
        "/openapi.json": {"get": _answers({200: _OBJECT})},
    }


_FRAMES = {PNG: _BINARY, NPZ: _BINARY}
_FILES = {MP4: _BINARY, **_FRAMES, STREAM: _TEXT}
_LISTS = dict.fromkeys(JSON_LINES, _TEXT)


def _query(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": _TEXT} for name in names]


def _work(
    shapes: Sequence[str], others: Mapping[str, Any], *, status: int = 200, or_several: bool = False
) -> dict[str, Any]:
    """A route that takes a job. others: the media types it can answer in beside JSON. or_several: lists as well."""
    one: dict[str, Any] = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in shapes]}
    several = {"type": "array", "items": _OBJECT}
    samples = {"type": "object", "required": ["samples"], "properties": {"samples": _OBJECT}}
    content = {
        JSON: {"schema": {"anyOf": [*one["anyOf"], several, samples]} if or_several else one},
        "multipart/form-data": {"schema": {"type": "object", "properties": {"request": _TEXT}}},
        # One image or video; image/* and video/* are the same, and the fields stand in a header or the query string.
        "application/octet-stream": {"schema": _BINARY},
    }
    if or_several:
        content |= {name: {"schema": _TEXT} for name in JSON_LINES}
    answer = {"anyOf": [_OBJECT, {"type": "array"}]} if or_several else _OBJECT
    told = _answers({status: answer}, _OF_A_JOB, (), others)
    return {"requestBody": {"required": True, "content": content}, **told}


def _answers(
    good: Mapping[int, Any],
    bad: Sequence[type[errors.CosmosError]] = (),
    parameters: Sequence[Mapping[str, Any]] = (),
    others: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What comes of a route. good: schema of its JSON by status; bad: beside what may go wrong with any request."""
    by_status: dict[int, list[str]] = {status: [name] for status, name in _BESIDE.items()}
    for kind in (*_ANYWHERE, *bad):
        by_status.setdefault(TABLE[kind].status, []).append(TABLE[kind].type)
    responses: dict[str, Any] = {
        str(status): _refusal(status, names) for status, names in sorted(by_status.items()) if status not in good
    }
    for status, schema in good.items():
        content = {} if schema is None else {JSON: {"schema": schema}}
        content |= {name: {"schema": other} for name, other in (others or {}).items()}
        responses[str(status)] = {"description": "as asked" if status < 300 else "not yet", "content": content}
    return {"parameters": list(parameters), "responses": responses}


def _refusal(status: int, names: Sequence[str]) -> dict[str, Any]:
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = {"schema": {"type": "string"}, "description": "seconds"}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    told = ", ".join(dict.fromkeys(names))
    return {"description": f"error.type: {told}", "headers": headers, "content": {JSON: {"schema": _ERROR}}}


def _error_schema() -> dict[str, Any]:
    types = sorted({row.type for row in TABLE.values()} | set(_BESIDE.values()))
    inner = {
        "type": "object",
        "required": ["type", "message"],
        "properties": {
            "type": {"type": "string", "enum": types},
            "message": _TEXT,
            **dict.fromkeys(("field", "allowed", "job_id"), _TEXT),
            "nearest": {"type": ["object", "null"]},
            "plan": {"type": "array", "items": _TEXT},
            "predicted_seconds": _NUMBER,
            "window_seconds": _NUMBER,
        },
    }
    return {"type": "object", "required": ["error"], "properties": {"error": inner}}


def _request_schemas() -> dict[str, Any]:
    """The six shapes under all their names, and the three faces that widen those for pictures."""
    refs, found = models_json_schema([(shape.request, "validation") for shape in _SHAPES.values()], ref_template=_REF)
    schemas: dict[str, Any] = dict(found["$defs"])
    for name, shape in _SHAPES.items():
        ref = refs[(shape.request, "validation")]["$ref"].rpartition("/")[2]
        schemas[name] = _with_aliases(schemas.pop(ref), shape)
    pictures = {"anyOf": [{"$ref": _REF.format(model=name)} for name in _PICTURES]}
    # Each takes more names than the shapes have, which they are turned into first.
    schemas["Videos"] = {"anyOf": [*pictures["anyOf"], _needs("prompt")]}
    schemas["Images"] = _needs("prompt")
    schemas["Nim"] = {"anyOf": [*pictures["anyOf"], _needs("prompt")]}
    return schemas


_REF = "#/components/schemas/{model}"


def _needs(name: str) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: _TEXT}}


def _with_aliases(schema: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """The schema with every other name of a field beside it, and what the reader of bodies takes whatever the shape."""
    properties = dict(schema["properties"])
    for alias, name in shape.aliases.items():
        if name in properties:
            properties[alias] = {**properties[name], "description": f"the same as {name}"}
    twofold = set(shape.aliases.values())
    required = [name for name in schema.get("required", ()) if name not in twofold]
    if shape is not CHAT:
        properties |= {"name": {"type": ["string", "null"], "maxLength": 64}, "extra": {"type": ["object", "null"]}}
    return {**schema, "properties": properties, "required": required}
