"""A connection on which no request comes to be is closed; one at work is not."""

import asyncio

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from cosmos_handler.api import protocol
from cosmos_handler.api.protocol import Protocol

WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes longer than a request may take to begin."""
    await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ([b""], 0),
        ([b"GET / HT"], 0),
        ([WHOLE], 1),
        ([WHOLE, WHOLE], 2),
        ([WHOLE, b"GET"], 1),
        ([b"no HTTP\r\n\r\n"], 0),
    ],
)
def test_who_says_nothing_whole_is_not_waited_for(
    sent: list[bytes], answered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_HEAD_SECONDS", 0.1)

    async def scenario() -> bytes:
        config = uvicorn.Config(slow, http=Protocol, ws="none", log_config=None, lifespan="off", timeout_keep_alive=1)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Protocol(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        heard = b""
        for piece in sent:
            writer.write(piece)
            if piece == WHOLE:
                heard += await reader.readuntil(b"ok")
        async with asyncio.timeout(20):
            heard += await reader.read()
        writer.close()
        server.close()
        await asyncio.sleep(0)
        return heard

    assert asyncio.run(scenario()).count(b"200 OK") == answered
