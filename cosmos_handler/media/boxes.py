"""What an MP4 or MOV file says of where its data lies; runs in the short-lived process only."""

import struct
from pathlib import Path
from typing import BinaryIO

_WAY = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
_MAX_BOXES = 200_000
_MAX_TABLE_BYTES = 2**20
_SELF_CONTAINED = 1


def refers_elsewhere(source: Path) -> bool:
    """Whether a track says that its data lies in another file. No such file is opened; to read on here is a guess."""
    with source.open("rb") as file:
        size_bytes = file.seek(0, 2)
        tables: list[tuple[int, int]] = [(0, size_bytes)]
        for kind in _WAY:
            tables = [found for start, end in tables for found in _boxes(file, kind, start, end)]
        return any(_leads_out(file, start, end) for start, end in tables)


def _boxes(file: BinaryIO, wanted: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Where the contents of the boxes of a kind lie between two places; a damaged one ends the search."""
    found = []
    for _ in range(_MAX_BOXES):
        if start + 8 > end:  # a place that a box only claims may be further out than a file can reach
            break
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            break
        size, kind = struct.unpack_from(">I4s", head)
        content = start + 8
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack_from(">Q", head, 8)
            content = start + 16
        stop = end if size == 0 else start + size
        if stop < content:
            break
        if kind == wanted and content <= end:
            found.append((content, min(stop, end)))
        start = stop
    return found


def _leads_out(file: BinaryIO, start: int, end: int) -> bool:
    file.seek(start)
    table = file.read(min(end - start, _MAX_TABLE_BYTES))
    place = 8  # version, flags and the number of entries
    while place + 12 <= len(table):
        size, _, flags = struct.unpack_from(">I4sI", table, place)
        if not flags & _SELF_CONTAINED:
            return True
        place += max(size, 12)
    return False
