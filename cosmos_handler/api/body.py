"""From the bytes of a request to plain objects: JSON, JSON lines or a form, never more than the limit."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request

from cosmos_handler.api.form import Form, read_form
from cosmos_handler.api.json_text import JSON_LINES, parse_lines, parse_object_or_list
from cosmos_handler.errors import InvalidBody, JobCancelled, TooLarge, UnsupportedMediaType


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


async def read_body(request: Request, max_bytes: int) -> Body:
    """The body.

    Raises InvalidBody, InvalidField, TooLarge, UnsupportedMediaType, and JobCancelled when the caller hangs up.
    """
    content_type = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        form: Form = await read_form(request, _limited(request, max_bytes))
        return Body(form.content, form.uploads, form.strict)
    is_lines = content_type in JSON_LINES
    if is_lines or content_type == "application/json" or content_type.endswith("+json"):
        data = b"".join([piece async for piece in _limited(request, max_bytes)])
        return Body(await asyncio.to_thread(parse_lines if is_lines else parse_object_or_list, data, "the body"))
    raise UnsupportedMediaType(
        f"Content-Type {content_type[:100]} is not read here; "
        "send application/json, application/jsonlines or multipart/form-data"
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
