"""X-Amzn-SageMaker-Custom-Attributes: the one header in which SageMaker's callers may say more than the body says.

It may be anything, which is then only handed back; `route=/v1/models,method=GET`, as AWS's own images read it; or a
JSON object whose keys beside route and method are fields of the request.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers

from cosmos_handler.api.json_text import parse_object_or_list
from cosmos_handler.errors import InvalidBody, InvalidField

ATTRIBUTES_HEADER = "X-Amzn-SageMaker-Custom-Attributes"

_MAX_CHARACTERS = 1024  # SageMaker's own limit
_VISIBLE = re.compile(r"[ -~]*")
# What follows is meant as JSON, and a fault in it is told; any other text with braces may be somebody's mark.
_JSON_BEGINS = re.compile(r'\{\s*("|\})')
_BETWEEN = re.compile("[,;]")
_ROUTE = re.compile("/[!-~]*")
_METHOD = re.compile("[A-Z]{3,10}")
_KEYS = ("route", "method")


@dataclass(frozen=True)
class Attributes:
    """The header, read.

    text: as it came; empty where there is none. route, method: where else the request is to go, with which method.
    fields: of the request.
    """

    text: str = ""
    route: str | None = None
    method: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


def read_attributes(headers: Headers) -> Attributes:
    """What the header of a request says. Raises InvalidField, which names it, or the field in it."""
    values = headers.getlist(ATTRIBUTES_HEADER)
    if len(values) > 1:
        raise InvalidField(ATTRIBUTES_HEADER, "is given twice")
    text = values[0] if values else ""
    if len(text) > _MAX_CHARACTERS or not _VISIBLE.fullmatch(text):
        allowed = f"at most {_MAX_CHARACTERS} visible ASCII characters; JSON writes others as \\u00e9"
        raise InvalidField(ATTRIBUTES_HEADER, "is too long, or holds other characters", allowed=allowed)
    is_json = _JSON_BEGINS.match(text.strip()) is not None
    said = _object(text) if is_json else _pairs(text)
    route, method = (_string(said.pop(key, None), key) for key in _KEYS)
    method = method if method is None else method.upper()
    if route is not None and not _ROUTE.fullmatch(route):
        raise _wrong("route", route, "a path such as /v1/models")
    if method is not None and not _METHOD.fullmatch(method):
        raise _wrong("method", method, "a method of HTTP such as GET")
    return Attributes(text, route, method, said)


def _object(text: str) -> dict[str, Any]:
    try:
        value = parse_object_or_list(text.encode(), "it")
    except InvalidBody as error:
        raise InvalidField(ATTRIBUTES_HEADER, f"begins like a JSON object, but {error}") from None
    if not isinstance(value, dict):
        raise TypeError("what begins with a brace was no object: this is a bug")
    return value


def _pairs(text: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for piece in _BETWEEN.split(text):
        key, is_pair, value = (part.strip() for part in piece.partition("="))
        if is_pair and key in _KEYS:
            if key in said:
                raise InvalidField(ATTRIBUTES_HEADER, f"gives {key} twice")
            said[key] = value
    return said


def _string(value: Any, key: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise _wrong(key, json.dumps(value), "text")
    return value


def _wrong(key: str, value: str, allowed: str) -> InvalidField:
    return InvalidField(ATTRIBUTES_HEADER, f"gives {value[:100]!r} as {key}", allowed=allowed)
