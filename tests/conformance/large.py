"""Large bodies as they are sent: piece by piece, so that this side holds none of them either."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import Server

FIELDS = {"inference_type": "reasoner", "model": "reason2", "prompt": "What moves?", "max_tokens": 2}
_HEAD = b"\x00\x00\x00\x20ftypisom"  # of an MP4, of which nothing else is there
_PIECE = bytes(2**20)


def medium(size_bytes: int) -> Iterator[bytes]:
    """What calls itself a video."""
    yield _HEAD
    for start in range(len(_HEAD), size_bytes, len(_PIECE)):
        yield _PIECE[: size_bytes - start]


def form(size_bytes: int) -> Iterator[bytes]:
    """The same in a form, its boundary x, with its JSON beside it."""
    request = json.dumps({**FIELDS, "video": "a/large.mp4"})
    yield f'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n{request}\r\n'.encode()
    yield b'--x\r\nContent-Disposition: form-data; name="a/large.mp4"; filename="large.mp4"\r\n\r\n'
    yield from medium(size_bytes)
    yield b"\r\n--x--\r\n"


def status_bytes(pid: int, key: str, *, begin_anew: bool = False) -> int:
    """One line of what Linux says of a process's memory; begin_anew: its peak is from now on."""
    process = Path(f"/proc/{pid}")
    if begin_anew:
        (process / "clear_refs").write_text("5")
    found = re.search(rf"^{key}:\s+(\d+) kB$", (process / "status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def await_nothing_spooled(server: Server) -> None:
    """The answer comes before its body is removed."""
    folder = server.log_path.parent
    deadline = time.monotonic() + 30
    while list(folder.glob("spool-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(folder.glob("spool-*")) == []
