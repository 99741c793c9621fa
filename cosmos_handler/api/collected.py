"""An answer that is collected before it goes out, since its length goes first; on disk where it is long."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_IN_MEMORY_BYTES = 2**20
_PIECE_BYTES = 2**18


class Collected:
    """Written piece by piece, then sent. folder: for what is long."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=str(folder))  # noqa: SIM115 - close() is ours
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Append."""
        await asyncio.to_thread(self._file.write, data)
        self.size_bytes += len(data)

    async def pieces(self) -> AsyncIterator[bytes]:
        """From the beginning."""
        self._file.seek(0)
        while piece := await asyncio.to_thread(self._file.read, _PIECE_BYTES):
            yield piece

    def close(self) -> None:
        """Throw it away."""
        self._file.close()

    def response(self, media_type: str) -> "CollectedResponse":
        """The answer that it is; closes it when it has been sent, or cannot be."""
        return CollectedResponse(self, media_type)


class CollectedResponse(StreamingResponse):
    """A whole answer, with its length."""

    def __init__(self, collected: Collected, media_type: str) -> None:
        super().__init__(
            collected.pieces(), media_type=media_type, headers={"Content-Length": str(collected.size_bytes)}
        )
        self._collected = collected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._collected.close()
