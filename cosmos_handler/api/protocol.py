"""uvicorn's HTTP/1.1, with our own form of refusal, and with no patience for a request that never begins."""

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_SECONDS = 30.0


class Protocol(H11Protocol):
    """One connection."""

    _too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """It says something: the clock stands still while a request is at work, whose body has its own limit."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()
        elif self._too_late is None:
            self._await_request()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, answered in the form that every other error has."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # an answer is on its way already, and there can be no second one
            return
        body = json.dumps({"error": {"type": "invalid_http", "message": msg}}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_request(self) -> None:
        self._disarm()
        self._too_late = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def _disarm(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None
