"""What stands before every route: the key, the count of the bytes that come in, and headers that are safe to send."""

import hashlib
import hmac
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cosmos_handler.api.errors import response_for
from cosmos_handler.api.intake import BodyLimits, Budget, Intake
from cosmos_handler.errors import Unauthorized

# Whoever watches over the server asks these without a key; they tell nothing but whether it serves.
_OPEN = frozenset({"/ping", "/v1/health/live", "/v1/health/ready"})


class Door:
    """An application with a door before it. api_key: None where everybody may come in."""

    def __init__(self, app: ASGIApp, limits: BodyLimits, *, api_key: str | None) -> None:
        self._app = app
        self._budget = Budget(limits)
        self._key = None if api_key is None else _digest(api_key.encode("ascii"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's own start and end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                _make_safe(MutableHeaders(raw=message.setdefault("headers", [])))
            await send(message)

        if self._key is not None and scope["path"] not in _OPEN and not self._shows_key(scope["headers"]):
            # The body is not waited for: nothing of a stranger's is read.
            await response_for(Unauthorized(_HOW))(scope, receive, send_safely)
            return
        async with Intake(self._budget) as intake:
            scope.setdefault("state", {})["intake"] = intake
            await self._app(scope, receive, send_safely)

    def _shows_key(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        given = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        # Digests are of one length, so that the time of the comparison tells nothing of the key, not even its length.
        return hmac.compare_digest(_digest(token.strip()), self._key or b"") and scheme.lower() == b"bearer"


_HOW = "this server asks for its key: send the header Authorization: Bearer KEY"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _make_safe(headers: MutableHeaders) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    # Answers hold what people asked and were shown; no proxy on the way keeps them.
    headers["Cache-Control"] = "no-store"
