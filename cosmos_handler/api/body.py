"""From the bytes of a request to plain objects: JSON, JSON lines, a form, or one medium; never more than the limit."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from starlette.requests import Request

from cosmos_handler.api.attributes import read_attributes
from cosmos_handler.api.form import Form, read_form, read_query
from cosmos_handler.api.intake import Intake
from cosmos_handler.api.json_text import JSON_LINES, parse_lines, parse_object_or_list
from cosmos_handler.api.spool import Arriving
from cosmos_handler.errors import InvalidBody, InvalidField, UnsupportedMediaType
from cosmos_handler.media.sniff import HEAD_BYTES, IMAGE_NAMES, VIDEO_NAMES, media_kind
from cosmos_handler.redaction import remember, texts_in
from cosmos_handler.schemas.upload import Upload

_BYTES = "application/octet-stream"
_MEDIUM = "body"  # how fields name the body itself
_WORDS = ("prompt", "negative_prompt", "name")  # which may be that word and mean it
_NO_MEDIUM = f"the body is not {IMAGE_NAMES}, {VIDEO_NAMES}, as its first bytes show"
_MAX_TEXT_BYTES = 2**16  # of a file that may be a prompt


@dataclass(frozen=True)
class Body:
    """What came.

    content: an object, or a list of them; an InvalidBody stands in the list where a line could not be read.
    uploads: the files by the names they can be referred to.
    strict: whether values have the types of JSON, or are all text, as in forms.
    digest: SHA-256 of the bytes, where they are JSON and it was asked for.
    """

    content: dict[str, Any] | list[Any]
    uploads: dict[str, Upload] = field(default_factory=dict)
    strict: bool = True
    digest: str | None = None

    @property
    def one(self) -> dict[str, Any]:
        """The object, where the face takes no lists. Raises InvalidBody."""
        if isinstance(self.content, list):
            raise InvalidBody("the body is a list; only /invocations takes several jobs in one request")
        return self.content


async def read_body(request: Request, *, digested: bool = False) -> Body:
    """The body, whose texts no library's log will repeat. digested: where its digest is asked for.

    Raises InvalidBody, InvalidField, UnsupportedMediaType, and what Intake.pieces raises.
    """
    body = await _read(request, digested=digested)
    short = (_decoded(each) for each in body.uploads.values() if each.size_bytes <= _MAX_TEXT_BYTES)
    await asyncio.to_thread(remember, chain(short, texts_in(body.content)))
    return body


def _decoded(upload: Upload) -> str:
    return upload.read().decode(errors="replace")


async def _read(request: Request, *, digested: bool) -> Body:
    intake: Intake = request.state.intake
    content_type = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        form: Form = await read_form(request, intake)
        return Body(form.content, form.uploads, form.strict)
    if content_type == _BYTES or content_type.startswith(("image/", "video/")):
        return await _read_medium(request, intake)
    is_lines = content_type in JSON_LINES
    if is_lines or content_type == "application/json" or content_type.endswith("+json"):
        data = bytearray()  # not pieces and their sum: a body is held once
        async for piece in intake.pieces(request, "memory"):
            data += piece
        async with intake.parsing(len(data)):
            content = await asyncio.to_thread(parse_lines if is_lines else parse_object_or_list, data, "the body")
            digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest()) if digested else None
            return Body(content, digest=digest)
    raise UnsupportedMediaType(
        f"Content-Type {content_type[:100]} is not read here; "
        "send application/json, application/jsonlines, multipart/form-data, or the bytes of one image or video"
    )


async def _read_medium(request: Request, intake: Intake) -> Body:
    """A body that is an image or a video; the fields stand in the header, or in the query string."""
    attributes = read_attributes(request.headers)
    fields = await read_query(request.query_params.multi_items())
    for name in fields.keys() & attributes.fields.keys():
        raise InvalidField(name, "is given twice: in the query string and in the header")
    content = {**attributes.fields, **fields}
    upload = await _take_medium(request, intake)
    kind = await asyncio.to_thread(lambda: media_kind(upload.head(HEAD_BYTES)))
    if kind is None:
        raise UnsupportedMediaType(_NO_MEDIUM)
    texts = {name: value for name, value in content.items() if name not in _WORDS}
    if _MEDIUM not in texts_in(texts):
        if kind in content:
            raise InvalidField(kind, "is given twice: the body is one, too", allowed=f"{_MEDIUM}, which means the body")
        content[kind] = _MEDIUM
    return Body(content, {_MEDIUM: upload}, strict=not fields)


async def _take_medium(request: Request, intake: Intake) -> Upload:
    arriving = Arriving(intake.spool)
    head = b""
    async for piece in intake.pieces(request, "disk"):
        if len(head) < HEAD_BYTES:
            head += piece[:HEAD_BYTES]
            if len(head) >= HEAD_BYTES and media_kind(head) is None:  # told before the rest has come
                raise UnsupportedMediaType(_NO_MEDIUM)
        arriving.take(piece)
        await arriving.save()
    if not head:
        raise InvalidBody("the body is empty")
    return await arriving.end()
