"""A JSON schema for the answer: found under the names clients use for it, and held against what can be enforced."""

import asyncio
import json
from typing import Any

from cosmos_handler.errors import InvalidField
from cosmos_handler.messages.tasks import Schema
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.reasoning import Asking, ChatRequest

_FORMATS = "type text, json_object or json_schema"
_MAX_SCHEMA_CHARACTERS = 65_536
# One blank after a comma and a colon, as models write it; free white space is a place to get lost in.
_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


async def json_schema(invocation: Invocation, request: Asking) -> Schema | None:
    """The schema that the answer must follow. Raises InvalidField for one that cannot be enforced."""
    asked = _asked(invocation, request)
    if not asked:
        return None
    if len(asked) > 1:
        raise InvalidField(asked[1][0], f"contradicts {asked[0][0]}, which is given too", allowed="one of the two")
    (field, schema) = asked[0]
    text = json.dumps({**schema, "x-guidance": _STYLE})
    if len(text) > _MAX_SCHEMA_CHARACTERS:
        raise InvalidField(field, f"has {len(text)} characters", allowed=f"up to {_MAX_SCHEMA_CHARACTERS}")
    problem = await asyncio.to_thread(_problem, text)
    if problem:
        raise InvalidField(field, f"cannot be enforced: {problem}")
    return Schema(text=text, field=field)


def _asked(invocation: Invocation, request: Asking) -> list[tuple[str, dict[str, Any]]]:
    """Every schema in the request, with the client's name for its place."""
    found = []
    if request.response_format is not None:
        name = invocation.written("response_format")
        schema = _of_format(name, request.response_format)
        if schema is not None:
            found.append((name, schema))
    if request.guided_json is not None:
        found.append((invocation.written("guided_json"), request.guided_json))
    if isinstance(request, ChatRequest) and request.nvext and request.nvext.guided_json is not None:
        found.append(("nvext.guided_json", request.nvext.guided_json))
    return found


def _of_format(name: str, wish: dict[str, Any]) -> dict[str, Any] | None:
    kind = wish.get("type")
    unknown = wish.keys() - {"type", "json_schema"}
    if unknown:
        raise InvalidField(f"{name}.{min(unknown)}", "is not a field of a response format", allowed="type, json_schema")
    if kind not in ("text", "json_object", "json_schema"):
        raise InvalidField(f"{name}.type", "is not a format that answers can have", allowed=_FORMATS)
    holder = wish.get("json_schema")
    if kind != "json_schema":
        if holder is not None:
            raise InvalidField(f"{name}.json_schema", f"contradicts the type {kind}", allowed="type json_schema")
        return {"type": "object"} if kind == "json_object" else None
    schema = holder.get("schema") if isinstance(holder, dict) else None
    if not isinstance(schema, dict):
        raise InvalidField(f"{name}.json_schema.schema", "is not a JSON schema", allowed="an object")
    return schema


def _problem(schema: str) -> str:
    from llguidance import LLMatcher  # only where asked: the front starts without it

    try:
        problem: str = LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema))
    except ValueError as error:
        return str(error)
    return " ".join(problem.split())[:300]
