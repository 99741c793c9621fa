"""JSON as clients send it: one object, a list, or an object a line."""

import json
import re
from collections import Counter
from typing import Any

from cosmos_handler.errors import InvalidBody, InvalidField, RequestError
from cosmos_handler.redaction import texts_in

# The names under which JSON lines travel.
JSON_LINES = ("application/jsonlines", "application/x-jsonlines", "application/jsonl", "application/x-ndjson")
_MAX_NAMES = 1000  # a fault found in each of a million would take minutes to collect
_MAX_VALUES = 1_000_000
_MAX_DEPTH = 100  # what is read must be written again: in answers, and to the model process
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")


def parse_object_or_list(data: bytes | bytearray, what: str) -> dict[str, Any] | list[Any]:
    """Raises InvalidBody for anything else, and InvalidField for a name that stands twice."""
    _refuse_many_values(data, what)
    value = _parse(data, what)
    if not isinstance(value, dict | list):
        raise InvalidBody(f"{what} is not a JSON object, nor a list of them")
    return value


def parse_lines(data: bytes | bytearray, what: str) -> list[Any]:
    """The value on each line that has one; the error in the place of a line that cannot be read."""
    _refuse_many_values(data, what)
    values: list[Any] = []
    lines: list[bytes | bytearray] = [*data.splitlines()]
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                values.append(_parse(line, f"line {number} of {what}"))
            except RequestError as error:
                values.append(error)
    return values


def _refuse_many_values(data: bytes | bytearray, what: str) -> None:
    # Reading tens of millions of values takes gigabytes, and stops every other thread for seconds.
    if sum(data.count(mark) for mark in (b"[", b"{", b",")) > _MAX_VALUES:
        raise InvalidBody(f"{what} has more than {_MAX_VALUES} values, which is the limit")


def _parse(data: bytes | bytearray, what: str) -> Any:
    try:
        value = json.loads(
            data.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_members
        )  # Windows tools put a BOM in front
    except (ValueError, RecursionError) as error:
        raise InvalidBody(f"{what} is not JSON: {error}"[:300]) from None
    if _is_deep(value):
        raise InvalidBody(f"{what} nests deeper than {_MAX_DEPTH} objects and lists, which is the limit")
    # Python reads half a character, which no message to the model process could carry.
    if _SURROGATE.search(data) and any(map(_HALF.search, texts_in(value))):
        raise InvalidBody(f"{what} holds half of a UTF-16 pair, which is no character")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, in which no name stands twice: readers disagree on which of the two counts."""
    if len(pairs) > _MAX_NAMES:
        raise InvalidBody(f"an object of the body has {len(pairs)} names; no request needs more than {_MAX_NAMES}")
    members = dict(pairs)
    if len(members) < len(pairs):
        seen = Counter(name for name, _ in pairs)
        raise InvalidField(next(name for name in seen if seen[name] > 1), "is given twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")
