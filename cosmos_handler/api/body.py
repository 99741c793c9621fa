"""From the bytes of a request to plain objects: JSON, JSON lines or a form, never more than the limit."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from starlette.requests import Request

from cosmos_handler.api.form import Form, read_form
from cosmos_handler.api.intake import Intake
from cosmos_handler.api.json_text import JSON_LINES, parse_lines, parse_object_or_list
from cosmos_handler.errors import InvalidBody, UnsupportedMediaType
from cosmos_handler.redaction import remember, texts_in

_LARGE_BYTES = 2**20
_MAX_TEXT_BYTES = 2**16  # of a file that may be a prompt


@dataclass(frozen=True)
class Body:
    """What came.

    content: an object, or a list of them; an InvalidBody stands in the list where a line could not be read.
    uploads: the files by the names they can be referred to.
    strict: whether values have the types of JSON, or are all text, as in forms.
    """

    content: dict[str, Any] | list[Any]
    uploads: dict[str, bytes] = field(default_factory=dict)
    strict: bool = True

    @property
    def one(self) -> dict[str, Any]:
        """The object, where the face takes no lists. Raises InvalidBody."""
        if isinstance(self.content, list):
            raise InvalidBody("the body is a list; only /invocations takes several jobs in one request")
        return self.content


async def read_body(request: Request) -> Body:
    """The body, whose texts no library's log will repeat.

    Raises InvalidBody, InvalidField, UnsupportedMediaType, and what Intake.pieces raises.
    """
    body = await _read(request)
    short = (data.decode(errors="replace") for data in body.uploads.values() if len(data) <= _MAX_TEXT_BYTES)
    await asyncio.to_thread(remember, chain(short, texts_in(body.content)))
    return body


async def _read(request: Request) -> Body:
    intake: Intake = request.state.intake
    content_type = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        form: Form = await read_form(request, intake.pieces(request))
        return Body(form.content, form.uploads, form.strict)
    is_lines = content_type in JSON_LINES
    if is_lines or content_type == "application/json" or content_type.endswith("+json"):
        data = bytearray()  # not pieces and their sum: a body is held once
        async for piece in intake.pieces(request):
            data += piece
        async with intake.budget.parsing if len(data) > _LARGE_BYTES else contextlib.nullcontext():
            return Body(await asyncio.to_thread(parse_lines if is_lines else parse_object_or_list, data, "the body"))
    raise UnsupportedMediaType(
        f"Content-Type {content_type[:100]} is not read here; "
        "send application/json, application/jsonlines or multipart/form-data"
    )
