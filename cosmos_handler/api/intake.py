"""How much of requests the server takes in: the bytes of one body, those of all at once, and the time one may take."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

from starlette.requests import ClientDisconnect, Request

from cosmos_handler.api.spool import Spool
from cosmos_handler.errors import BodiesFull, JobCancelled, TooLarge, TooSlow

_RETRY_SECONDS = 10
_LARGE_BYTES = 2**20
_GIB = 2**30

Room = Literal["memory", "disk"]


@dataclass(frozen=True)
class BodyLimits:
    """What the deployer allows.

    max_bytes: of one body. max_json_bytes: of one that is read in memory.
    max_total_bytes: of what is held in memory of all requests in the house; max_spool_bytes: of what is on the disk.
    seconds: for a body to come. work_dir: where large files go; owner: whose they are.
    """

    max_bytes: int
    max_total_bytes: int
    seconds: float
    max_json_bytes: int = _GIB // 4
    max_spool_bytes: int = 8 * _GIB
    work_dir: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    owner: str = "00000000"


class Budget:
    """The bytes that all requests share. `parsing` is held while a large body is read: that takes memory once more."""

    def __init__(self, limits: BodyLimits) -> None:
        self.limits = limits
        self.taken: dict[Room, int] = {"memory": 0, "disk": 0}
        self.most: dict[Room, int] = {"memory": limits.max_total_bytes, "disk": limits.max_spool_bytes}
        self.parsing = asyncio.Semaphore(1)


class Intake:
    """What one request has taken of the budget; all of it is given back when the request has been answered."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.spool = Spool(budget.limits.work_dir, budget.limits.owner)
        self._held: dict[Room, int] = {"memory": 0, "disk": 0}

    async def __aenter__(self) -> "Intake":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.spool.remove()
        finally:
            for room, count in self._held.items():
                self.budget.taken[room] -= count
                self._held[room] = 0

    def hold(self, room: Room, num_bytes: int) -> None:
        """Count what has come. Raises BodiesFull."""
        self._refuse_when_full(room, num_bytes)
        self.budget.taken[room] += num_bytes
        self._held[room] += num_bytes

    def parsing(self, num_bytes: int) -> AbstractAsyncContextManager[object]:
        """To be held while so much is parsed."""
        return self.budget.parsing if num_bytes > _LARGE_BYTES else contextlib.nullcontext()

    def refuse_large_json(self, num_bytes: int, what: str) -> None:
        """Raises TooLarge."""
        if num_bytes > self.budget.limits.max_json_bytes:
            raise _too_large(num_bytes, self.budget.limits.max_json_bytes, what, "memory")

    async def pieces(self, request: Request, room: Room) -> AsyncGenerator[bytes, None]:
        """The body as it comes, counted for the room it is meant for.

        Raises TooLarge, TooSlow, BodiesFull, and JobCancelled when the caller hangs up.
        """
        limits = self.budget.limits
        most = limits.max_bytes if room == "disk" else min(limits.max_bytes, limits.max_json_bytes)
        promised = request.headers.get("content-length", "")
        if promised.isdecimal():
            if len(promised) > 20 or int(promised) > most:
                raise _too_large(promised[:20], most, "the body", room)
            self._refuse_when_full(room, int(promised))
        deadline = asyncio.get_running_loop().time() + limits.seconds
        stream = request.stream()
        size = 0
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    piece = await anext(stream, None)
                if piece is None:
                    return
                size += len(piece)
                if size > most:
                    raise _too_large(f"more than {most}", most, "the body", room)
                # Only what has come is counted: a promise costs a client nothing, and would hold a place for nothing.
                self.hold(room, len(piece))
                yield piece
        except TimeoutError:
            raise TooSlow(f"the body has not come within {limits.seconds:g} seconds, which is the limit") from None
        except ClientDisconnect:
            raise JobCancelled("the caller hung up in the middle of the body") from None

    def _refuse_when_full(self, room: Room, more_bytes: int) -> None:
        taken, most = self.budget.taken[room], self.budget.most[room]
        if taken + more_bytes > most:
            where = "" if room == "memory" else " on the disk"
            raise BodiesFull(
                f"the requests in the house have {taken} of the {most} bytes that they share{where}",
                retry_after_seconds=_RETRY_SECONDS,
            )


def _too_large(has: int | str, most: int, what: str, room: Room) -> TooLarge:
    hint = "" if room == "disk" else "; media that come as multipart/form-data may be larger"
    return TooLarge(f"{what} has {has} bytes; the limit is {most}{hint}")
