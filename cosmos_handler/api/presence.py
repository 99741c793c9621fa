"""Whether the caller is still there: nobody waits for what is done after he has hung up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from cosmos_handler.errors import JobCancelled


@asynccontextmanager
async def while_there(request: Request) -> AsyncIterator[None]:
    """A block that ends in JobCancelled as soon as the caller hangs up. Only for after the body has been read."""
    try:
        async with asyncio.timeout(None) as patience:
            watching = asyncio.create_task(_end_with_caller(request, patience))
            try:
                yield
            finally:
                watching.cancel()
    except TimeoutError:
        if not patience.expired():
            raise  # somebody else's
        raise JobCancelled("the caller hung up") from None


async def _end_with_caller(request: Request, patience: asyncio.Timeout) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    patience.reschedule(asyncio.get_running_loop().time())
