"""Having an input decoded: starts the short-lived process, waits for it, and makes its answer ours."""

import asyncio
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

import cosmos_handler
from cosmos_handler.errors import DecoderFailed, MediaError, TooLarge
from cosmos_handler.media.clip import MediaFile, partial_path
from cosmos_handler.media.decode import DecodeRequest
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.wanted import Wanted

log = logging.getLogger(__name__)

# The answer lists the kept frames; a process that was taken over could send without end.
_MAX_ANSWER_BYTES = 2**20
_MAX_LOGGED_BYTES = 4096
# Ended by its own limits, or by the kernel when the machine ran out of memory.
_LIMIT_SIGNALS = (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL)
# Nothing of the server's own environment, which holds credentials. One thread for numpy's algebra, which is not
# used, and would reserve address space for every core.
_ENVIRONMENT = {
    "PATH": os.defpath,
    "PYTHONPATH": str(Path(cosmos_handler.__file__).parent.parent),
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class _Refused:
    """A Refusal as it comes over."""

    error: Literal["media", "too_large"]
    problem: str


_ANSWER: TypeAdapter[MediaFile | _Refused] = TypeAdapter(MediaFile | _Refused)


async def decode(source: Path, output: Path, wanted: Wanted, *, field: str, limits: MediaLimits) -> MediaFile:
    """Decode what is wanted of `source` into the .npy file `output`, in a process of its own.

    field: what errors name. When cancelled, the process is gone before this returns.
    Raises MediaError for an input that is unsuitable or damaged, TooLarge for one over a limit, and DecoderFailed
    for a fault of ours.
    """
    _refuse_large_source(source, limits, field)
    request = DecodeRequest(str(source), str(output), wanted, limits)
    process = await asyncio.create_subprocess_exec(
        # -P: nothing is imported from the folder this happens to run in
        *(sys.executable, "-P", "-m", "cosmos_handler.media.decode"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_ENVIRONMENT,
        limit=_MAX_ANSWER_BYTES,
        start_new_session=True,  # Ctrl-C in a terminal is for the server
    )
    try:
        async with asyncio.timeout(limits.decode_timeout_seconds):
            answer, complaints = await _converse(process, request.to_json().encode())
    except TimeoutError:
        seconds = limits.decode_timeout_seconds
        raise TooLarge(f"takes longer than the {seconds:g} seconds allowed to decode", field=field) from None
    finally:
        if process.returncode is None:
            process.kill()
            # Not wait(), which waits for ever where something written is left unread.
            await process.communicate()
        partial_path(output).unlink(missing_ok=True)
    if process.returncode:
        raise _failure(process.returncode, complaints, field)
    return _media_file(answer, request, field)


def _refuse_large_source(source: Path, limits: MediaLimits, field: str) -> None:
    if source.stat().st_size > limits.max_source_bytes:
        raise TooLarge(f"is larger than the {limits.max_source_bytes} bytes that are allowed", field=field)


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


def _failure(returncode: int, complaints: bytes, field: str) -> MediaError | TooLarge | DecoderFailed:
    if -returncode in _LIMIT_SIGNALS:
        return TooLarge("needs more time or memory to decode than is allowed", field=field)
    if returncode < 0:
        log.warning("decoding %s: the process ended with %s", field, signal.Signals(-returncode).name)
        return MediaError(field, "could not be decoded: the decoder crashed on it")
    log.error("decoding %s: the process exited with %d:\n%s", field, returncode, complaints.decode(errors="replace"))
    return DecoderFailed(f"{field}: the decoding process failed")


def _media_file(answer: bytes, request: DecodeRequest, field: str) -> MediaFile:
    try:
        decoded = _ANSWER.validate_json(answer)
    except ValidationError as error:
        log.exception("decoding %s: the process gave no answer", field)
        raise DecoderFailed(f"{field}: the decoding process gave no answer") from error
    if isinstance(decoded, _Refused):
        if decoded.error == "too_large":
            raise TooLarge(decoded.problem, field=field)
        raise MediaError(field, decoded.problem)
    # The process has seen untrusted bytes: it does not get to name another file.
    if decoded.path != request.output:
        raise DecoderFailed(f"{field}: the decoding process answered for another file")
    return decoded
