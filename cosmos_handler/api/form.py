"""multipart/form-data: fields, files, and NVIDIA's JSON with the files that it names beside it.

A part called `request` holds the JSON; every other part carries one file, under the very name that the JSON gives it:
a relative path, or an address. Without such a part each field is a part of its own, an object or a list as JSON or in
the ways that clients have for them: edge[control_weight]=1, indexes[]=0.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from cosmos_handler.api.intake import Intake
from cosmos_handler.api.json_text import JSON_LINES, parse_lines, parse_object_or_list
from cosmos_handler.api.multipart import FilePart, Part, read_parts
from cosmos_handler.errors import InvalidBody, InvalidField
from cosmos_handler.redaction import texts_in
from cosmos_handler.schemas.choice import CONTROLS
from cosmos_handler.schemas.upload import Upload

_WHOLE = "request"
# Fields that hold an object or a list. Any other text may look like one and be meant as it is, as captions are.
_STRUCTURED = frozenset({*CONTROLS, "extra", "video_params", "condition_frame_indexes_vision"})
_ITEM = "[]"
# What a form makes of {"extra": {"shelf": 3}}.
_NESTED = re.compile(r"([^\[\]]+)\[([^\[\]]+)\]")


@dataclass(frozen=True)
class Form:
    """As in Body."""

    content: dict[str, Any] | list[Any]
    uploads: dict[str, Upload]
    strict: bool


@dataclass
class _Parts:
    whole: dict[str, Any] | list[Any] | None = None
    texts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, FilePart] = field(default_factory=dict)


async def read_form(request: Request, intake: Intake) -> Form:
    """The form that is the body. Raises InvalidBody, InvalidField, TooLarge, and what Intake.pieces raises."""
    parts = await read_parts(request.headers["content-type"], intake.pieces(request, "disk"), intake)
    return await _assemble(await _sort(parts, intake))


async def read_query(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The fields that a query string gives, in the ways of a form. Raises InvalidBody and InvalidField."""
    parts = _Parts()
    for name, text in pairs:
        _put_text(parts, name, text)
    return _nest(await _values(parts))


async def _sort(named: Iterable[tuple[str, Part]], intake: Intake) -> _Parts:
    parts = _Parts()
    for name, part in named:
        if name == _WHOLE and parts.whole is not None:
            raise InvalidField(name, "is given twice")
        if name == _WHOLE:
            parts.whole = await _read_whole(part, intake)
        elif isinstance(part, str):
            _put_text(parts, name, part)
        else:
            _refuse_twice(parts, name)
            parts.files[name] = part
    return parts


def _put_text(parts: _Parts, name: str, text: str) -> None:
    if name.endswith(_ITEM):
        parts.lists.setdefault(name.removesuffix(_ITEM), []).append(text)
    else:
        _refuse_twice(parts, name)
        parts.texts[name] = text


def _refuse_twice(parts: _Parts, name: str) -> None:
    if name in parts.files or name in parts.texts:
        raise InvalidField(name, "is given twice")


async def _read_whole(part: Part, intake: Intake) -> dict[str, Any] | list[Any]:
    what = f"the part {_WHOLE!r}"
    if isinstance(part, str):
        return await asyncio.to_thread(parse_object_or_list, part.encode(), what)
    size_bytes = part.upload.size_bytes
    intake.refuse_large_json(size_bytes, what)
    is_lines = part.content_type in JSON_LINES or part.filename.lower().endswith(".jsonl")
    intake.hold("memory", size_bytes)
    async with intake.parsing(size_bytes):
        data = await asyncio.to_thread(part.upload.read)
        return await asyncio.to_thread(parse_lines if is_lines else parse_object_or_list, data, what)


async def _assemble(parts: _Parts) -> Form:
    whole = parts.whole
    values = await _values(parts)
    mentioned = set(texts_in(whole if whole is not None else values))
    # A text file may come as a plain part, without a file name.
    texts = {} if whole is None else {name: text for name, text in parts.texts.items() if name in mentioned}
    uploads = {name: Upload.of(text.encode()) for name, text in texts.items()}
    fields = _nest({name: value for name, value in values.items() if name not in uploads})
    unmentioned = _take_files(parts.files, mentioned, uploads)
    if isinstance(whole, list):
        if fields or unmentioned:
            extra = [*fields, *unmentioned][0]
            raise InvalidBody(f"the form's part {extra[:200]!r} is mentioned nowhere in the list")
        return Form(whole, uploads, strict=True)
    for twice in fields.keys() & (whole or {}).keys():
        raise InvalidField(twice, "is given twice")
    content = {**(whole or {}), **fields}
    for name in unmentioned:  # a file is the value of the field it is named after
        _place(content, name, name, unless_there=True)
    return Form(content, uploads, strict=whole is not None)


async def _values(parts: _Parts) -> dict[str, Any]:
    """What the texts mean."""
    values: dict[str, Any] = dict(parts.texts)
    for name, text in parts.texts.items():
        if name in _STRUCTURED and text.lstrip().startswith(("{", "[")):
            values[name] = await asyncio.to_thread(parse_object_or_list, text.encode(), f"the part {name!r}")
    for name, items in parts.lists.items():
        if name in values or name in parts.files:
            raise InvalidField(name, "is given twice")
        values[name] = items
    return values


def _take_files(files: Mapping[str, FilePart], mentioned: set[str], uploads: dict[str, Upload]) -> list[str]:
    """Add the files under the names of their parts, and under their own where only that is mentioned.

    Returns the parts that are mentioned under neither.
    """
    unmentioned = []
    for name, part in files.items():
        own = part.filename
        key = own if own in mentioned and name not in mentioned else name
        if not key or key in uploads:
            raise InvalidBody(f"two files of the form are both called {(key or name)[:200]!r}")
        uploads[key] = part.upload
        if key not in mentioned:
            unmentioned.append(name)
    return unmentioned


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in values.items():
        _place(fields, name, value)
    return fields


def _place(fields: dict[str, Any], name: str, value: Any, *, unless_there: bool = False) -> None:
    """Set a field by its name in the form, which may be that of a field in an object."""
    nested = _NESTED.fullmatch(name)
    outer = fields.setdefault(nested[1], {}) if nested else fields
    if not isinstance(outer, dict):
        raise InvalidBody(f"the form has {name[:200]!r} both as text and as an object")
    inner = nested[2] if nested else name
    if not (unless_there and inner in outer):
        outer[inner] = value
