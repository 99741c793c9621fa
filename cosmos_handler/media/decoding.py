"""Having an input decoded: starts the short-lived process, waits for it, and makes its answer ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from cosmos_handler.errors import DecoderFailed, MediaError, TooLarge
from cosmos_handler.media.clip import MediaFile, partial_path
from cosmos_handler.media.decode import DecodeRequest
from cosmos_handler.media.errand import Errand
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.wanted import Wanted


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
    seconds = limits.decode_timeout_seconds
    errand = Errand("cosmos_handler.media.decode", {}, seconds, "decoding", field)
    try:
        answer = await errand.run(request.to_json())
    except TimeoutError:
        raise TooLarge(f"takes longer than the {seconds:g} seconds allowed to decode", field=field) from None
    finally:
        partial_path(output).unlink(missing_ok=True)
    return _media_file(answer, request, errand)


def _refuse_large_source(source: Path, limits: MediaLimits, field: str) -> None:
    if source.stat().st_size > limits.max_source_bytes:
        raise TooLarge(f"is larger than the {limits.max_source_bytes} bytes that are allowed", field=field)


def _media_file(answer: bytes, request: DecodeRequest, errand: Errand) -> MediaFile:
    try:
        decoded = _ANSWER.validate_json(answer)
    except ValidationError:
        raise errand.no_answer() from None
    if isinstance(decoded, _Refused):
        if decoded.error == "too_large":
            raise TooLarge(decoded.problem, field=errand.field)
        raise MediaError(errand.field, decoded.problem)
    # The process has seen untrusted bytes: it does not get to name another file.
    if decoded.path != request.output:
        raise DecoderFailed(f"{errand.field}: the decoding process answered for another file")
    return decoded
