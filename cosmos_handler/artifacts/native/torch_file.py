"""Reads which tensors a file of torch.save holds, without torch, without its data, and without running any of it.

Such a file is a zip archive: a pickle with the structure, and one record of bytes for each storage.
"""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from cosmos_handler.artifacts.safetensors_header import StoredTensor
from cosmos_handler.errors import CheckpointError

MAX_STRUCTURE_BYTES = 100_000_000  # the largest published checkpoints need a hundredth of it

_LFS_POINTER = b"version https://git-lfs"
BEFORE_ZIP = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how files of torch before 1.6 begin
_WRAPPERS = ("model", "module", "state_dict")  # under which trainers put the tensors beside their own state
_DEEPEST = 3

# For each kind of storage: torch's name of its type, and bytes per value.
_STORAGES: Mapping[str, tuple[str, int]] = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
}


@dataclass(frozen=True)
class TorchFile:
    """What one file holds.

    tensors: by the names of the state dictionary, which lies under the keys in `wrappers`.
    checksums: of each tensor's bytes, as the archive lists them.
    raw: changes whenever a name, shape, type or value does.
    """

    tensors: Mapping[str, StoredTensor]
    wrappers: tuple[str, ...]
    checksums: Mapping[str, int]
    raw: bytes


@dataclass(frozen=True)
class Storage:
    """The values that tensors are views of, as the structure describes them."""

    dtype: str
    value_bytes: int
    key: str
    num_values: int


@dataclass(frozen=True)
class _Tensor:
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Aside:
    """Stands for an object that is no tensor; whatever is put into it is dropped."""

    def __setstate__(self, state: object) -> None:
        pass


def read_torch_file(path: Path, *, shown_as: str | None = None) -> TorchFile:
    """What a complete file holds. shown_as: what it is called in errors; by default its path.

    Raises CheckpointError when the file cannot be read, is not one of torch.save, is cut short, contradicts itself, or
    holds anything but plain data.
    """
    name = shown_as or str(path)
    try:
        with path.open("rb") as file:
            _refuse_other_kinds(file.read(len(_LFS_POINTER)), name)
            with zipfile.ZipFile(file) as archive:
                return _read(archive, name)
    # The last two for a directory that asks for a newer zip, or has names in no alphabet.
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError):
        raise CheckpointError(f"{name} is truncated, or no file of torch.save: it does not end as one") from None
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read: {error.strerror or error}") from error


def _refuse_other_kinds(start: bytes, name: str) -> None:
    if not start:
        raise CheckpointError(f"{name} is empty")
    if start == _LFS_POINTER:
        raise CheckpointError(f"{name} is a Git LFS pointer, not the weights: fetch them with `git lfs pull`")
    if start.startswith(BEFORE_ZIP):
        raise CheckpointError(
            f"{name} is in torch's format from before version 1.6: load it once with torch and torch.save it again"
        )
    if not start.startswith(b"PK"):
        raise CheckpointError(f"{name} is not a file of torch.save")


def _read(archive: zipfile.ZipFile, name: str) -> TorchFile:
    records = {info.filename: info for info in archive.infolist()}
    structures = [file for file in records if file.count("/") == 1 and file.endswith("/data.pkl")]
    if len(structures) != 1:
        raise CheckpointError(f"{name} is not a file of torch.save: there is no data.pkl in it")
    folder = structures[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in records:
        raise CheckpointError(f"{name} is a TorchScript program, not weights alone")
    if records[structures[0]].file_size > MAX_STRUCTURE_BYTES:
        raise CheckpointError(f"{name} has a structure of more than {MAX_STRUCTURE_BYTES} bytes")
    if f"{folder}byteorder" in records and _bytes_of(archive, records[f"{folder}byteorder"], name) != b"little":
        raise CheckpointError(f"{name} was written on a big-endian machine, and is not read")
    structure = _bytes_of(archive, records[structures[0]], name)
    found, wrappers = state_of(load_structure(structure, StructureReader, name), name)
    tensors = {key: _checked(key, value, folder, records, name) for key, value in found.items() if is_tensor(value)}
    if not tensors:
        raise CheckpointError(f"{name} holds no tensors")
    checksums = {key: records[f"{folder}data/{found[key].storage.key}"].CRC for key in tensors}
    return TorchFile(
        tensors=tensors,
        wrappers=wrappers,
        checksums=checksums,
        raw=structure + repr(sorted(checksums.items())).encode(),
    )


def _bytes_of(archive: zipfile.ZipFile, record: zipfile.ZipInfo, name: str) -> bytes:
    # As torch.save writes them. What is compressed could be any size, and what is encrypted has no key here.
    if record.compress_type != zipfile.ZIP_STORED or record.flag_bits & 1:
        raise CheckpointError(f"{name} is not a file of torch.save: its {record.filename[-100:]} is compressed")
    return archive.read(record)


def is_tensor(value: object) -> TypeGuard[_Tensor]:
    """Whether a value of the structure stands for a tensor."""
    return isinstance(value, _Tensor)


def load_structure(pickled: bytes, reader: "type[StructureReader]", name: str) -> object:
    """What a pickle holds, built by a reader out of stand-ins. Raises CheckpointError where it is damaged."""
    try:
        _refuse_far_places(pickled)
        return reader(io.BytesIO(pickled), name).load()
    except CheckpointError:
        raise
    # What a pickle that is not one, or that puts our stand-ins together wrongly, can make the reader raise.
    except (
        pickle.UnpicklingError, EOFError, TypeError, ValueError, LookupError, AttributeError, OverflowError, MemoryError
    ) as error:  # fmt: skip
        raise CheckpointError(f"{name} is damaged: its structure cannot be read ({type(error).__name__})") from None


def _refuse_far_places(pickled: bytes) -> None:
    """Raise ValueError for a memo with a place far off: the reader would make room for all places before it."""
    for opcode, place, _ in pickletools.genops(pickled):
        if opcode.name in ("PUT", "LONG_BINPUT") and isinstance(place, int) and place > len(pickled):
            raise ValueError("a memo has fewer places than the pickle has bytes")


class StructureReader(pickle.Unpickler):
    """Builds the structure out of stand-ins of our own."""

    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file)
        self._name = name

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for a name; no other name is looked up."""
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        found = _STAND_INS.get(f"{module}.{name}")
        if found is None:
            raise CheckpointError(
                f"{self._name} refers to {module}.{name}, which weights have no need of: it is not loaded. "
                "Save the plain state dictionary of the model instead"
            )
        return found

    def persistent_load(self, pid: Any) -> Storage:
        """A storage: ("storage", kind, record, device, number of values)."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise CheckpointError(f"{self._name} is damaged: it refers to something that is not a storage")
        _, (dtype, value_bytes), key, _, num_values = pid
        return Storage(dtype, value_bytes, str(key), int(num_values))


def _tensor(storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(stride))


def _parameter(data: _Tensor, *_: object) -> _Tensor:
    return data


def _text_bytes(text: str, encoding: str) -> bytes:
    return text.encode(encoding)


_STAND_INS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": tuple,
    "_codecs.encode": _text_bytes,
    "_io.BytesIO": _Aside,
}


def state_of(content: object, name: str) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The state dictionary, and the keys under which it lay."""
    wrappers: list[str] = []
    while isinstance(content, dict) and len(wrappers) < _DEEPEST:
        inner = next((key for key in _WRAPPERS if isinstance(content.get(key), dict)), None)
        if inner is None:
            break
        wrappers.append(inner)
        content = content[inner]
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise CheckpointError(f"{name} does not hold a dictionary from names to tensors")
    return content, tuple(wrappers)


def _checked(key: str, tensor: _Tensor, folder: str, records: Mapping[str, zipfile.ZipInfo], name: str) -> StoredTensor:
    storage = tensor.storage
    prefix = f"{name} is damaged: the data of tensor {key[:120]!r}"
    record = records.get(f"{folder}data/{storage.key}")
    if record is None:
        raise CheckpointError(f"{prefix} is missing")
    if record.file_size != storage.num_values * storage.value_bytes or record.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(f"{prefix} takes {record.file_size} bytes, not {storage.num_values} {storage.dtype}")
    return stored_tensor(tensor, prefix)


def stored_tensor(tensor: _Tensor, prefix: str) -> StoredTensor:
    """What a tensor is. prefix: begins the error where it does not lie inside its storage."""
    sizes_fit = len(tensor.shape) == len(tensor.stride) and all(
        type(number) is int and number >= 0 for number in (tensor.offset, *tensor.shape, *tensor.stride)
    )
    if not sizes_fit or _last(tensor) >= tensor.storage.num_values:
        raise CheckpointError(f"{prefix} does not fit its shape {list(tensor.shape[:8])}")
    size_bytes = math.prod(tensor.shape) * tensor.storage.value_bytes
    return StoredTensor(dtype=tensor.storage.dtype, shape=tensor.shape, size_bytes=size_bytes)


def _last(tensor: _Tensor) -> int:
    """The position of its last value in the storage; -1 where it has none."""
    if 0 in tensor.shape:
        return -1
    return tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride, strict=True))
