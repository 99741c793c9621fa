"""multipart/form-data, taken apart as it comes: texts stay in memory, files go into the spool."""

import codecs
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cosmos_handler.api.intake import Intake
from cosmos_handler.api.spool import Arriving
from cosmos_handler.errors import InvalidBody
from cosmos_handler.schemas.upload import Upload

MAX_PARTS = 512
_MAX_TEXT_PART_BYTES = 2**20


@dataclass(frozen=True)
class FilePart:
    """A part with a file name."""

    upload: Upload
    filename: str
    content_type: str


Part = str | FilePart


@dataclass
class _Open:
    """A part that is being read. arriving: None where it is a text."""

    name: str
    content_type: str
    filename: str = ""
    arriving: Arriving | None = None
    text: bytearray = field(default_factory=bytearray)


async def read_parts(content_type: str, stream: AsyncGenerator[bytes, None], intake: Intake) -> list[tuple[str, Part]]:
    """The parts in order, by name. Raises InvalidBody, BodiesFull, and what the stream raises."""
    reader = _Reader(content_type, intake)
    async for piece in stream:
        reader.feed(piece)
        await reader.save()
    reader.finish()
    return reader.parts


class _Reader:
    def __init__(self, content_type: str, intake: Intake) -> None:
        self._intake = intake
        _, options = parse_options_header(content_type)
        if not (boundary := options.get(b"boundary")):
            raise _unreadable("its Content-Type names no boundary")
        self._codec = _codec(options.get(b"charset", b"utf-8").decode("latin-1"))
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._open_part,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                },
            )
        except (FormParserError, ValueError) as error:
            raise _unreadable(str(error)) from None
        self.parts: list[tuple[str, Part]] = []
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = b"", b""
        self._is_open = False
        self._part: _Open | None = None
        self._ended: list[_Open] = []
        self._num_texts = self._num_files = 0

    def feed(self, piece: bytes) -> None:
        """Raises InvalidBody."""
        try:
            self._parser.write(piece)
        except (FormParserError, KeyError, ValueError) as error:
            raise _unreadable(str(error)) from None

    async def save(self) -> None:
        """Put away what has come so far."""
        ended, self._ended = self._ended, []
        for part in ended:
            self.parts.append((part.name, await self._whole(part)))
        if self._part is not None and self._part.arriving is not None:
            await self._part.arriving.save()

    def finish(self) -> None:
        """Raises InvalidBody where the form stops in the middle of a part."""
        self._parser.finalize()
        if self._is_open:
            raise _unreadable("it ends in the middle of a part")

    async def _whole(self, part: _Open) -> Part:
        if part.arriving is None:
            self._intake.hold("memory", len(part.text))
            return _decoded(bytes(part.text), self._codec)
        upload = await part.arriving.end()
        if isinstance(upload.place, bytes):
            self._intake.hold("memory", upload.size_bytes)
        return FilePart(upload, part.filename, part.content_type)

    def _begin(self) -> None:
        self._is_open = True
        self._headers = {}

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _open_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise _unreadable("a part of it has no name")
        name = _decoded(options[b"name"], self._codec)
        content_type = self._headers.get(b"content-type", b"").decode("latin-1")
        self._part = _Open(name, content_type)
        if b"filename" in options:
            self._num_files += 1
            self._part.filename = _decoded(options[b"filename"], self._codec)
            self._part.arriving = Arriving(self._intake.spool)
        else:
            self._num_texts += 1
        if max(self._num_files, self._num_texts) > MAX_PARTS:
            raise _unreadable(f"it has more than {MAX_PARTS} files or texts, which is the limit")

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part is None:
            raise AssertionError("data came before the part they belong to: this is a bug")
        if part.arriving is not None:
            part.arriving.take(data[start:end])
            return
        if len(part.text) + end - start > _MAX_TEXT_PART_BYTES:
            raise _unreadable(f"the text {part.name[:100]!r} has more than {_MAX_TEXT_PART_BYTES} bytes")
        part.text += data[start:end]

    def _end(self) -> None:
        self._is_open = False
        if self._part is not None:
            self._ended.append(self._part)
            self._part = None


def _codec(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        return "latin-1"


def _decoded(data: bytes, codec: str) -> str:
    try:
        return data.decode(codec)
    except (ValueError, LookupError):  # the second for a codec that makes no text
        return data.decode("latin-1")


def _unreadable(problem: str) -> InvalidBody:
    return InvalidBody(f"the form cannot be read: {problem}"[:300])
