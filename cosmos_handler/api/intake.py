"""How much of requests the server takes in: the bytes of one body, those of all at once, and the time one may take."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from types import TracebackType

from starlette.requests import ClientDisconnect, Request

from cosmos_handler.errors import BodiesFull, JobCancelled, TooLarge, TooSlow

_RETRY_SECONDS = 10


@dataclass(frozen=True)
class BodyLimits:
    """max_bytes: of one body. max_total_bytes: of the bodies of all requests in the house. seconds: for one to come."""

    max_bytes: int
    max_total_bytes: int
    seconds: float


class Budget:
    """The bytes that all requests share. `parsing` is held while a large body is read: that takes memory once more."""

    def __init__(self, limits: BodyLimits) -> None:
        self.limits = limits
        self.taken_bytes = 0
        self.parsing = asyncio.Semaphore(1)


class Intake:
    """What one request has taken of the budget; all of it is given back when the request has been answered."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._held_bytes = 0

    def __enter__(self) -> "Intake":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.budget.taken_bytes -= self._held_bytes
        self._held_bytes = 0

    async def pieces(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises TooLarge, TooSlow, BodiesFull, and JobCancelled when the caller hangs up."""
        limits = self.budget.limits
        promised = request.headers.get("content-length", "")
        if promised.isdecimal():
            if len(promised) > 20 or int(promised) > limits.max_bytes:
                raise TooLarge(f"the body has {promised[:20]} bytes; the limit is {limits.max_bytes}")
            self._refuse_when_full(int(promised))
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
                if size > limits.max_bytes:
                    raise TooLarge(f"the body has more than {limits.max_bytes} bytes, which is the limit")
                # Only what has come is counted: a promise costs a client nothing, and would hold a place for nothing.
                self._refuse_when_full(len(piece))
                self.budget.taken_bytes += len(piece)
                self._held_bytes += len(piece)
                yield piece
        except TimeoutError:
            raise TooSlow(f"the body has not come within {limits.seconds:g} seconds, which is the limit") from None
        except ClientDisconnect:
            raise JobCancelled("the caller hung up in the middle of the body") from None

    def _refuse_when_full(self, more_bytes: int) -> None:
        most = self.budget.limits.max_total_bytes
        if self.budget.taken_bytes + more_bytes > most:
            raise BodiesFull(
                f"the requests in the house have {self.budget.taken_bytes} of the {most} bytes that they share",
                retry_after_seconds=_RETRY_SECONDS,
            )
