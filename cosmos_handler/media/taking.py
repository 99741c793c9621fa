"""From a stream of bytes to a file, never more than the limit; runs in the short-lived process only."""

from pathlib import Path
from typing import Protocol

from cosmos_handler.media.refusal import Refusal

_PIECE_BYTES = 2**18


class Readable(Protocol):
    """Something with bytes in it."""

    def read(self, size: int, /) -> bytes:
        """At most so many of them; none at the end."""


def take(stream: Readable, output: Path, *, promised_bytes: int | None, max_bytes: int) -> None:
    """Write it all to `output`. Raises Refusal for more than the limit, promised or sent, or less than promised."""
    if promised_bytes is not None and promised_bytes > max_bytes:
        _refuse_large(max_bytes)
    size_bytes = 0
    with output.open("wb") as file:
        while piece := stream.read(_PIECE_BYTES):
            size_bytes += len(piece)
            if size_bytes > max_bytes:
                _refuse_large(max_bytes)
            file.write(piece)
    if promised_bytes is not None and size_bytes < promised_bytes:
        raise Refusal("media", "cannot be fetched: it ends before it is whole")


def _refuse_large(max_bytes: int) -> None:
    raise Refusal("too_large", f"is larger than the {max_bytes} bytes that are allowed")
