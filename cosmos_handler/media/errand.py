"""A short-lived process for what is foreign: one request in, one line out, gone when the time is up."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cosmos_handler
from cosmos_handler.errors import DecoderFailed, MediaError, TooLarge
from cosmos_handler.redaction import harmless

log = logging.getLogger(__name__)

# The answer lists the kept frames; a process that was taken over could send without end.
_MAX_ANSWER_BYTES = 2**20
_MAX_LOGGED_BYTES = 4096
# Ended by its own limits, or by the kernel when the machine ran out of memory.
_LIMIT_SIGNALS = (signal.SIGXCPU, signal.SIGXFSZ, signal.SIGALRM, signal.SIGKILL)
# Nothing of the server's own environment, which holds credentials. One thread for numpy's algebra, which is not
# used, and would reserve address space for every core.
_ENVIRONMENT = {
    "PATH": os.defpath,
    "PYTHONPATH": str(Path(cosmos_handler.__file__).parent.parent),
    "OPENBLAS_NUM_THREADS": "1",
}


async def started(module: str, environment: Mapping[str, str], *, most_line_bytes: int) -> asyncio.subprocess.Process:
    """A module of ours as a process with pipes, the environment and what it needs to find its own code."""
    return await asyncio.create_subprocess_exec(
        # -P: nothing is imported from the folder this happens to run in
        # -B: no bytecode is written, which the bound on files would cut short for all who read it later
        *(sys.executable, "-P", "-B", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**_ENVIRONMENT, **environment},
        limit=most_line_bytes,
        start_new_session=True,  # Ctrl-C in a terminal is for the server
    )


@dataclass(frozen=True)
class Errand:
    """What to start and how to speak of it.

    module: run with the environment and nothing else. noun: "decoding"; field: what errors name.
    """

    module: str
    environment: Mapping[str, str]
    seconds: float
    noun: str
    field: str

    async def run(self, request: str) -> bytes:
        """The answer. When cancelled, the process is gone before this returns.

        Raises TimeoutError, MediaError or TooLarge for a process that the medium ended, DecoderFailed for a fault of
        ours.
        """
        process = await started(self.module, self.environment, most_line_bytes=_MAX_ANSWER_BYTES)
        try:
            async with asyncio.timeout(self.seconds):
                answer, complaints = await _converse(process, request.encode())
        finally:
            if process.returncode is None:
                process.kill()
                # Not wait(), which waits for ever where something written is left unread.
                await process.communicate()
        if process.returncode:
            raise self._failure(process.returncode, complaints)
        return answer

    def no_answer(self) -> DecoderFailed:
        """The fault of a process whose answer is none."""
        log.error("%s %s: the process gave no answer", self.noun, self.field)
        return DecoderFailed(f"{self.field}: the {self.noun} process gave no answer")

    def _failure(self, returncode: int, complaints: bytes) -> MediaError | TooLarge | DecoderFailed:
        if -returncode in _LIMIT_SIGNALS:
            return TooLarge(f"needs more time or memory for {self.noun} than is allowed", field=self.field)
        if returncode < 0:
            name = signal.Signals(-returncode).name
            log.warning("%s %s: the process ended with %s", self.noun, self.field, name)
            return MediaError(self.field, f"cannot be read: the {self.noun} process crashed on it")
        told = harmless(complaints.decode(errors="replace"))
        log.error("%s %s: the process exited with %d:\n%s", self.noun, self.field, returncode, told)
        return DecoderFailed(f"{self.field}: the {self.noun} process failed")


async def _converse(process: asyncio.subprocess.Process, request: bytes) -> tuple[bytes, bytes]:
    """The answer and the end of what was complained about, once the process has ended."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("the process was started without pipes: this is a bug")
    process.stdin.write(request)
    process.stdin.close()
    answer, complaints = await asyncio.gather(_first(process.stdout), _last(process.stderr))
    await process.wait()
    return answer, complaints


async def _first(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError:
        return b""


async def _last(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while chunk := await stream.read(_MAX_LOGGED_BYTES):
        kept = (kept + chunk)[-_MAX_LOGGED_BYTES:]
    return kept
