"""Response streaming: records that can be told apart wherever the platform cuts, and never a long silence."""

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator

import httpx2
import pytest

from tests.conformance.conftest import LONG
from tests.conformance.container import ATTRIBUTES, FORWARDED_API, STREAM_CALL, Ask, Container, is_refusal, says
from tests.conformance.sections import section
from tests.conftest import Server

pytestmark = [pytest.mark.model, section("1.7")]

SILENCE_SECONDS = 10.0
STREAM_SECONDS = 8 * 60.0
EVENTS = "text/event-stream"


def heard(container: Container, ask: Ask) -> tuple[str, list[bytes]]:
    """The type and the pieces of a stream, of which no two are far apart."""
    headers = {"Content-Type": ask.content_type, "Accept": ask.accept, FORWARDED_API: STREAM_CALL}
    began = last = time.monotonic()
    pieces = []
    with container.client.stream("POST", "/invocations", content=ask.content, headers=headers) as response:
        stream_or_skip(container, response)
        for piece in response.iter_raw():
            now = time.monotonic()
            assert now - last < SILENCE_SECONDS
            last = now
            pieces.append(piece)
    assert last - began < STREAM_SECONDS
    return response.headers["content-type"].partition(";")[0], pieces


def stream_or_skip(container: Container, response: httpx2.Response) -> None:
    """A container need not stream: it may refuse to, or answer as always."""
    if not container.is_ours and (is_refusal(response) or "content-length" in response.headers):
        pytest.skip("this container does not stream so, which is left to it: --stream-request, --stream-accept")
    assert response.status_code == 200
    assert response.headers.get("transfer-encoding") == "chunked"


def records(media_type: str, pieces: Iterable[bytes]) -> Iterator[object]:
    """As a client reads them who keeps what is not yet a whole line."""
    rest = b""
    data: list[bytes] = []
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in (line.rstrip(b"\r") for line in lines):
            if media_type != EVENTS:
                if line:
                    yield json.loads(line)
            elif line.startswith(b"data:"):
                data.append(line.removeprefix(b"data:").removeprefix(b" "))
            elif not line and data:
                yield read_event(b"\n".join(data))
                data = []
            else:
                assert not line or line.startswith((b":", b"event:", b"id:", b"retry:")), line
    assert rest == b"" or media_type != EVENTS, rest
    assert not data
    if rest:
        yield json.loads(rest)


def read_event(data: bytes) -> object:
    return data if data == b"[DONE]" else json.loads(data)


def test_records_can_be_told_apart_wherever_they_are_cut(container: Container) -> None:
    for ask in container.streams:
        media_type, pieces = heard(container, ask)
        whole = b"".join(pieces)
        expected = list(records(media_type, pieces))
        assert len(expected) > 1 or not container.is_ours
        assert expected
        assert list(records(media_type, (whole[place : place + 1] for place in range(len(whole))))) == expected
        for cut in range(0, len(whole), 1 + len(whole) // 300):
            assert list(records(media_type, (whole[:cut], whole[cut:]))) == expected


def test_each_piece_alone_is_text(container: Container) -> None:
    """A client that decodes every piece for itself must not meet half a character: cut anywhere, ASCII is whole."""
    if not container.is_ours:
        pytest.skip("whoever joins the pieces first can read any text")
    for ask in container.streams:
        _, pieces = heard(container, ask)
        assert b"".join(pieces).isascii()


def test_it_is_never_silent_for_long(container: Container) -> None:
    long = Ask(container.long.content, container.long.content_type, container.streams[0].accept)
    heard(container, long if container.is_ours else container.streams[0])


def test_it_is_not_silent_while_nothing_is_done(own_server: Server) -> None:
    """A heartbeat: whoever does the work is held for as long as it takes until something comes all the same."""
    headers = {"Accept": EVENTS, FORWARDED_API: STREAM_CALL}
    worker = own_server.model_pid()
    limit = httpx2.Timeout(SILENCE_SECONDS)
    with own_server.client.stream("POST", "/invocations", json=LONG, headers=headers, timeout=limit) as response:
        pieces = response.iter_raw()
        next(pieces)
        os.kill(worker, signal.SIGSTOP)
        held = time.monotonic()
        try:
            # What was on its way before comes at once.
            while next(pieces) and time.monotonic() - held < 1:
                pass
        finally:
            os.kill(worker, signal.SIGCONT)
        assert list(pieces)


def test_an_error_before_the_first_byte_has_a_real_status(container: Container) -> None:
    for bad in container.bad:
        for stream in container.streams:
            response = container.invoke(bad, **{"Accept": stream.accept, FORWARDED_API: STREAM_CALL})
            assert is_refusal(response), says(response)
            assert response.text.strip()


def test_attributes_come_back_with_a_stream_too(container: Container) -> None:
    ask = container.streams[0]
    response = container.invoke(ask, **{ATTRIBUTES: "tenant-17", FORWARDED_API: STREAM_CALL})
    stream_or_skip(container, response)
    if container.is_ours or ATTRIBUTES in response.headers:
        assert response.headers[ATTRIBUTES] == "tenant-17"
