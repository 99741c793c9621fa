"""The door is open while its container lives."""

import asyncio
import subprocess
import sys

import uvicorn

_LOOK_SECONDS = 0.2


async def serve_while(server: uvicorn.Server, process: subprocess.Popen[bytes]) -> None:
    """Answer until a signal comes, or the container ends by itself: then what is still in flight has its error."""
    serving = asyncio.create_task(server.serve())
    while not serving.done():
        if (code := process.poll()) is not None:
            print(f"serve ended by itself with exit code {exit_code(code)}.", file=sys.stderr)
            server.should_exit = True
            break
        await asyncio.wait({serving}, timeout=_LOOK_SECONDS)
    await serving


def exit_code(code: int) -> int:
    """As a shell says it: 128 and the number of the signal for a process that one has ended."""
    return code if code >= 0 else 128 - code
