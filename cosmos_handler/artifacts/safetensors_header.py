"""Reads and checks the header of a safetensors file without torch: what is stored, and whether all of it is there."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from cosmos_handler.errors import CheckpointError

MAX_HEADER_BYTES = 100_000_000  # the safetensors library reads no longer one either

_LENGTH_BYTES = 8
_LFS_POINTER = b"version https://git-lfs"

# For each type of the format: bits per value, and torch's name (F6 types have none yet).
_DTYPES: Mapping[str, tuple[int, str]] = {
    "BOOL": (8, "bool"),
    "F4": (4, "float4_e2m1fn_x2"),
    "F6_E2M3": (6, "float6_e2m3"),
    "F6_E3M2": (6, "float6_e3m2"),
    "U8": (8, "uint8"),
    "I8": (8, "int8"),
    "F8_E5M2": (8, "float8_e5m2"),
    "F8_E4M3": (8, "float8_e4m3fn"),
    "F8_E8M0": (8, "float8_e8m0fnu"),
    "F8_E4M3FNUZ": (8, "float8_e4m3fnuz"),
    "F8_E5M2FNUZ": (8, "float8_e5m2fnuz"),
    "I16": (16, "int16"),
    "U16": (16, "uint16"),
    "F16": (16, "float16"),
    "BF16": (16, "bfloat16"),
    "I32": (32, "int32"),
    "U32": (32, "uint32"),
    "F32": (32, "float32"),
    "C64": (64, "complex64"),
    "F64": (64, "float64"),
    "I64": (64, "int64"),
    "U64": (64, "uint64"),
}


@dataclass(frozen=True)
class StoredTensor:
    """dtype: torch's name."""

    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True)
class Header:
    """What one file holds. raw: the header's own bytes, which change whenever a name, shape or type does."""

    tensors: Mapping[str, StoredTensor]
    raw: bytes


def read_header(path: Path, *, shown_as: str | None = None) -> Header:
    """The header of a complete file.

    shown_as: what the file is called in errors; by default its path.
    Raises CheckpointError when the file cannot be read, is no safetensors file, contradicts itself, or is not as long
    as its header says.
    """
    name = shown_as or str(path)
    try:
        with path.open("rb") as file:
            file_bytes = os.fstat(file.fileno()).st_size
            raw = _raw_header(file, name, file_bytes=file_bytes)
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read: {error.strerror or error}") from error
    tensors, data_bytes = _tensors(_parsed(raw, name), name)
    promised_bytes = _LENGTH_BYTES + len(raw) + data_bytes
    if file_bytes < promised_bytes:
        raise CheckpointError(_truncated(name, promised_bytes=promised_bytes, file_bytes=file_bytes))
    if file_bytes > promised_bytes:
        raise CheckpointError(
            f"{name} is damaged: its header accounts for {promised_bytes} bytes, the file has {file_bytes}"
        )
    return Header(tensors=tensors, raw=raw)


def _raw_header(file: BinaryIO, name: str, *, file_bytes: int) -> bytes:
    if file_bytes == 0:
        raise CheckpointError(f"{name} is empty")
    start = file.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        raise CheckpointError(f"{name} is a Git LFS pointer, not the weights: fetch them with `git lfs pull`")
    if len(start) < _LENGTH_BYTES:
        raise CheckpointError(_truncated(name, promised_bytes=_LENGTH_BYTES, file_bytes=file_bytes))
    header_bytes = int.from_bytes(start[:_LENGTH_BYTES], "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{name} is not a safetensors file: it would have a header of {header_bytes} bytes "
            f"(at most {MAX_HEADER_BYTES} are allowed)"
        )
    file.seek(_LENGTH_BYTES)
    raw = file.read(header_bytes)
    if len(raw) < header_bytes:
        raise CheckpointError(_truncated(name, promised_bytes=_LENGTH_BYTES + header_bytes, file_bytes=file_bytes))
    return raw


def _truncated(name: str, *, promised_bytes: int, file_bytes: int) -> str:
    return f"{name} is truncated: its header promises {promised_bytes} bytes, the file has {file_bytes}"


def _parsed(raw: bytes, name: str) -> dict[str, Any]:
    """The descriptions of the tensors by name, not yet checked."""
    try:
        parsed = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        raise CheckpointError(f"{name} is not a safetensors file: its header is not valid JSON") from None
    if not isinstance(parsed, dict) or not raw.startswith(b"{"):
        raise CheckpointError(f"{name} is not a safetensors file: its header is not a JSON object")
    metadata = parsed.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{name} is damaged: the __metadata__ of its header is not a map of texts")
    return parsed


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a key is given twice")
    return entries


def _tensors(entries: dict[str, Any], name: str) -> tuple[dict[str, StoredTensor], int]:
    """The tensors, and how many bytes of data they cover without a gap from the first byte on."""
    placed: list[tuple[int, int, str]] = []
    tensors = {}
    for key, entry in entries.items():
        tensor, begin, end = _tensor(entry, f"{name} is damaged: its header describes tensor {key[:120]!r}")
        tensors[key] = tensor
        placed.append((begin, end, key))
    covered = 0
    for begin, end, key in sorted(placed):
        if begin != covered:
            kind = "overlaps the one before it" if begin < covered else "leaves a gap before it"
            raise CheckpointError(f"{name} is damaged: the data of tensor {key[:120]!r} {kind}")
        covered = end
    return tensors, covered


def _tensor(entry: Any, prefix: str) -> tuple[StoredTensor, int, int]:
    if not isinstance(entry, dict):
        raise CheckpointError(f"{prefix} by something that is not an object")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise CheckpointError(f"{prefix} with an unknown dtype")
    if not _are_sizes(shape):
        raise CheckpointError(f"{prefix} with a shape that is not a list of sizes")
    if not (_are_sizes(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1]):
        raise CheckpointError(f"{prefix} with data_offsets that are not [begin, end]")
    bits_per_value, torch_name = _DTYPES[dtype]
    size_bytes, odd_bits = divmod(math.prod(shape) * bits_per_value, 8)
    begin, end = offsets
    if odd_bits or end - begin != size_bytes:
        raise CheckpointError(f"{prefix} as {dtype} {shape[:8]}, which does not take {end - begin} bytes")
    return StoredTensor(dtype=torch_name, shape=tuple(shape), size_bytes=size_bytes), begin, end


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    # Python's bool is an int; JSON's true is no size. 64 bits are what the format gives a size.
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**64 for item in value)
