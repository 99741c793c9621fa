"""Reads which tensors a file of torch.save holds, without torch, without its data, and without running any of it."""

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from cosmos_handler.artifacts.native.archive import Records, Storage, TensorView, opened
from cosmos_handler.artifacts.safetensors_header import StoredTensor
from cosmos_handler.errors import CheckpointError

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
    with opened(path, name) as archive:
        return _read(Records.of(archive, name))


def _read(records: Records) -> TorchFile:
    name = records.name
    if "constants.pkl" in records:
        raise CheckpointError(f"{name} is a TorchScript program, not weights alone")
    structure = records.structure()
    found, wrappers = state_of(load_structure(structure, StructureReader, name), name)
    tensors = {key: records.tensor(key, value) for key, value in found.items() if is_tensor(value)}
    if not tensors:
        raise CheckpointError(f"{name} holds no tensors")
    checksums = {key: records.checksum(found[key]) for key in tensors}
    return TorchFile(
        tensors=tensors,
        wrappers=wrappers,
        checksums=checksums,
        raw=structure + repr(sorted(checksums.items())).encode(),
    )


def is_tensor(value: object) -> TypeGuard[TensorView]:
    """Whether a value of the structure stands for a tensor."""
    return isinstance(value, TensorView)


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


def _tensor(storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object) -> TensorView:
    return TensorView(storage, offset, tuple(shape), tuple(stride))


def _parameter(data: TensorView, *_: object) -> TensorView:
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
