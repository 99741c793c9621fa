"""The settings of what goes where in memory, and of the time that a request may take."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from cosmos_handler.variable import Variable, one_of, whole

_GIB = 2**30
_NONE = "none"
# What a batch transform job gives a request at most.
BATCH_WINDOW_SECONDS = 3600
_OFFLOADS = (
    "auto", "none", "prompt_upsampler", "guardrails", "text_encoder", "diffusion_decoder", "tokenizer", "all",
)  # fmt: skip
_PLACEMENTS = ("resident", "swapped", "streamed", "disk")
_PARTS = ("prompt_upsampler", "guardrails", "text_encoder", "tokenizer", "transformer", "diffusion_decoder")
# Nothing in these is a row of like blocks that could come one after the other.
_NOT_STREAMED = ("tokenizer", "guardrails")
_UNITS = {"": 1, "mb": 10**6, "gb": 10**9, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([mg]i?b|)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class MemorySettings:
    """Where a field has no comment, its row in MEMORY_VARIABLES says what it is."""

    offload: str
    placement: Mapping[str, str]  # by part
    device_bytes: int | None
    host_bytes: int | None
    text_cache_bytes: int
    request_window_seconds: int | None  # None: no limit


def _placement(value: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if value.strip().lower() == _NONE:
        return found
    for item in value.split(","):
        part, equals, placement = (word.strip().lower() for word in item.partition("="))
        if not equals:
            raise ValueError(f"pairs such as text_encoder=swapped,transformer=streamed: {item.strip()!r} is none")
        if part not in _PARTS:
            raise ValueError(f"made of parts there are: {part!r} is none of {', '.join(_PARTS)}")
        if placement not in _PLACEMENTS:
            raise ValueError(f"made of placements there are: {placement!r} is none of {', '.join(_PLACEMENTS)}")
        if placement == "streamed" and part in _NOT_STREAMED:
            raise ValueError(f"possible: the {part} has no blocks to stream; it can be resident, swapped or disk")
        if part in found:
            raise ValueError(f"one placement a part: {part} has two")
        found[part] = placement
    return found


def _size(low: int, high: int) -> Callable[[str], int]:
    """A number of bytes, or of larger units."""

    def parse(value: str) -> int:
        found = _SIZE.fullmatch(value.strip())
        if found is None or ("." in found[1] and not found[2]):
            raise ValueError("a number of bytes, or a number with MB, MiB, GB or GiB such as 24GiB")
        size = int(Decimal(found[1]) * _UNITS[found[2].lower()])
        if not low <= size <= high:
            raise ValueError(f"a size from {low} to {high} bytes")
        return size

    return parse


MEMORY_VARIABLES = (
    Variable(
        "COSMOS_OFFLOAD",
        "offload",
        one_of(*_OFFLOADS),
        "auto",
        "what leaves the device while it is not needed: auto takes the fastest plan that fits a request; none, "
        "prompt_upsampler, guardrails, text_encoder, diffusion_decoder, tokenizer, all: that row of NVIDIA's tables, "
        "each of which holds those before it",
    ),
    Variable(
        "COSMOS_PLACEMENT",
        "placement",
        _placement,
        _NONE,
        "parts by hand, such as text_encoder=swapped,transformer=streamed: each of "
        f"{', '.join(_PARTS)} may be {', '.join(_PLACEMENTS)}; tokenizer and guardrails cannot be streamed",
    ),
    Variable(
        "COSMOS_DEVICE_MEMORY_BYTES",
        "device_bytes",
        _size(1024, 2**50),
        None,
        "most memory to use of each device, in bytes or as 24GiB, 24GB, 24000MB; by default what is free of it",
    ),
    Variable(
        "COSMOS_HOST_MEMORY_BYTES",
        "host_bytes",
        _size(1024, 2**50),
        None,
        "most host memory for weights that are not on a device, likewise; by default what the container has left",
    ),
    Variable(
        "COSMOS_TEXT_CACHE_BYTES",
        "text_cache_bytes",
        _size(0, 2**40),
        str(_GIB),
        "most host memory for the embeddings of prompts that were asked before, likewise; 0: none are kept",
    ),
    Variable(
        "COSMOS_REQUEST_WINDOW_SECONDS",
        "request_window_seconds",
        whole(0, 10**7),
        None,
        "requests that are predicted to take longer, with the jobs before them, are refused; 0: none are; "
        f"by default none, and {BATCH_WINDOW_SECONDS} where SAGEMAKER_BATCH is true",
    ),
)


def with_window(seconds: int | None, *, is_batch: bool) -> int | None:
    """The time that a request may take, None for any, from what the variable says.

    is_batch: whether a batch transform job runs, which gives up on a request after an hour.
    """
    if seconds is None and is_batch:
        return BATCH_WINDOW_SECONDS
    return seconds or None
