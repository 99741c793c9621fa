"""From the bytes of a request to a plain object: JSON or a form, never more than the limit."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from cosmos_handler.errors import InvalidBody, InvalidField, JobCancelled, TooLarge, UnsupportedMediaType

# A form's JSON object may come whole, in a part of this name.
_WHOLE = "request"
_MAX_TEXT_PART_BYTES = 2**20
_MAX_NAMES = 1000  # a fault found in each of a million would take minutes to collect
_MAX_JSON_VALUES = 1_000_000
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")


async def read_body(request: Request, max_bytes: int) -> tuple[dict[str, Any], dict[str, bytes], bool]:
    """The fields, the files by the names they can be referred to, and whether types are strict (JSON) or text (forms).

    Raises InvalidBody, InvalidField, TooLarge, UnsupportedMediaType, and JobCancelled when the caller hangs up.
    """
    content_type = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        return await _form(request, max_bytes)
    if content_type == "application/json" or content_type.endswith("+json"):
        pieces = [piece async for piece in _limited(request, max_bytes)]
        return await asyncio.to_thread(_object, b"".join(pieces), "the body"), {}, True
    raise UnsupportedMediaType(
        f"Content-Type {content_type[:100]} is not read here; send application/json or multipart/form-data"
    )


async def _limited(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    promised = request.headers.get("content-length", "")
    if promised.isdecimal() and int(promised) > max_bytes:
        raise TooLarge(f"the body has {promised} bytes; the limit is {max_bytes}")
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > max_bytes:
                raise TooLarge(f"the body has more than {max_bytes} bytes, which is the limit")
            yield piece
    except ClientDisconnect:
        raise JobCancelled("the caller hung up in the middle of the body") from None


def _object(data: bytes, what: str) -> dict[str, Any]:
    # Reading tens of millions of values takes gigabytes, and stops every other thread for seconds.
    if sum(data.count(mark) for mark in (b"[", b"{", b",")) > _MAX_JSON_VALUES:
        raise InvalidBody(f"{what} has more than {_MAX_JSON_VALUES} values, which is the limit")
    try:
        value = json.loads(
            data.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_members
        )  # Windows tools put a BOM in front
    except (ValueError, RecursionError) as error:
        raise InvalidBody(f"{what} is not JSON: {error}"[:300]) from None
    if not isinstance(value, dict):
        raise InvalidBody(f"{what} is not a JSON object")
    # Python reads half a character, which no message to the model process could carry.
    if _SURROGATE.search(data) and any(map(_HALF.search, _strings(value))):
        raise InvalidBody(f"{what} holds half of a UTF-16 pair, which is no character")
    return value


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


async def _form(request: Request, max_bytes: int) -> tuple[dict[str, Any], dict[str, bytes], bool]:
    parser = MultiPartParser(
        request.headers, _limited(request, max_bytes), max_files=32, max_fields=128, max_part_size=_MAX_TEXT_PART_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError, KeyError, ValueError) as error:
        raise InvalidBody(f"the form cannot be read: {error}"[:300]) from None
    fields: dict[str, Any] = {}
    files: dict[str, UploadFile] = {}
    strict = False
    try:
        for name, part in form.multi_items():
            if name in files or name in fields or (name == _WHOLE and strict):
                raise InvalidField(name, "is given twice")
            if name == _WHOLE:
                data = await part.read() if isinstance(part, UploadFile) else part.encode()
                whole = await asyncio.to_thread(_object, data, f"the part {_WHOLE!r}")
                for twice in whole.keys() & fields.keys():
                    raise InvalidField(twice, "is given twice")
                fields |= whole
                strict = True
            elif isinstance(part, UploadFile):
                files[name] = part
            else:
                fields[name] = part
        uploads = await _take_files(files, fields)
    finally:
        await form.close()
    return fields, uploads, strict


async def _take_files(files: Mapping[str, UploadFile], fields: dict[str, Any]) -> dict[str, bytes]:
    """The files by part name and by file name, so that a JSON which mentions a path finds the file that came with it.

    A file that nothing mentions is the value of the field it is named after.
    """
    mentioned = set(_strings(fields))
    uploads: dict[str, bytes] = {}
    for name, part in files.items():
        data = await part.read()
        keys = dict.fromkeys((name, part.filename or name))  # in this order: errors name the part
        for key in keys:
            if key in uploads:
                raise InvalidBody(f"two files of the form are both called {key!r}")
            uploads[key] = data
        if not keys.keys() & mentioned:
            fields.setdefault(name, name)
    return uploads


def _strings(value: Any) -> Iterator[str]:
    """Every string in it; without recursion, as a body may nest deeper than Python calls."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as members:
                left.extend(members.values())
            case list() as items:
                left.extend(items)
