"""Reads which tensors a TorchScript program holds, without torch, and without running any of it.

Such a file is an archive like those of torch.save. Its structure is the tree of the program's modules, each with its
parameters, its buffers and the modules below it; the code, which lies in records of its own, is not looked at.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cosmos_handler.artifacts.native.archive import Records, TensorView, opened
from cosmos_handler.artifacts.native.torch_file import StructureReader, is_tensor, load_structure
from cosmos_handler.artifacts.safetensors_header import StoredTensor
from cosmos_handler.errors import CheckpointError

_MOST_MODULES = 100_000  # a program of few bytes could name one module without end
_DEEPEST = 64
_MOST_SMALL = 8  # values: as many as there are channels in a code
_FORMATS = {"float32": "<f", "float16": "<e", "bfloat16": "<f", "int64": "<q", "int32": "<i"}


@dataclass(frozen=True)
class ScriptFile:
    """What one program holds, by the names that the tensors have in its state dictionary.

    views: where in the records each of the tensors lies.
    checksums: of each tensor's storage, as the archive lists them.
    small: the values of those few that have no more than a line.
    raw: changes whenever a name, shape, type or value does.
    """

    tensors: Mapping[str, StoredTensor]
    views: Mapping[str, TensorView]
    checksums: Mapping[str, int]
    small: Mapping[str, tuple[float, ...]]
    raw: bytes


def read_script_file(path: Path, *, shown_as: str | None = None) -> ScriptFile:
    """What a complete program holds. shown_as: what it is called in errors; by default its path.

    Raises CheckpointError when the file cannot be read, is no program, is cut short or contradicts itself.
    """
    name = shown_as or str(path)
    with opened(path, name) as archive:
        return script_in(Records.of(archive, name))


def script_in(records: Records) -> ScriptFile:
    """What the program of an open archive holds. Raises CheckpointError as read_script_file does."""
    name = records.name
    if "constants.pkl" not in records:
        raise CheckpointError(f"{name} is not a TorchScript program")
    structure = records.structure()
    program = load_structure(structure, _ProgramReader, name)
    if not isinstance(program, _Module):
        raise CheckpointError(f"{name} is not a TorchScript program: its structure is no module")
    views = dict(_tensors_of(program, name))
    if not views:
        raise CheckpointError(f"{name} holds no tensors")
    tensors = {key: records.tensor(key, view) for key, view in views.items()}
    checksums = {key: records.checksum(view) for key, view in views.items()}
    return ScriptFile(
        tensors=tensors,
        views=views,
        checksums=checksums,
        small={key: _values(records, view) for key, view in views.items() if _is_small(view)},
        raw=structure + repr(sorted(checksums.items())).encode(),
    )


def _is_small(view: TensorView) -> bool:
    return len(view.shape) == 1 and view.storage.num_values <= _MOST_SMALL and view.storage.dtype in _FORMATS


def _values(records: Records, view: TensorView) -> tuple[float, ...]:
    """The values of a tensor of one dimension."""
    content = records.content(f"data/{view.storage.key}")
    if view.storage.dtype == "bfloat16":  # the upper half of a float32
        pairs = (content[begin : begin + 2] for begin in range(0, len(content), 2))
        content = b"".join(b"\0\0" + pair for pair in pairs)
    values = [value for (value,) in struct.iter_unpack(_FORMATS[view.storage.dtype], content)]
    return tuple(values[view.offset + number * view.stride[0]] for number in range(view.shape[0]))


class _Module:
    """Stands for a module of the program, whatever its class."""

    attributes: Mapping[str, object] = MappingProxyType({})

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            raise ValueError("a module is put together of named attributes")
        self.attributes = state


class _ProgramReader(StructureReader):
    """Builds a tree of modules; no class of the program is made, and no code of it is read."""

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for a name, as for files of torch.save and for what programs have besides."""
        if module.startswith("__torch__"):
            return _Module
        return _STAND_INS.get(f"{module}.{name}") or super().find_class(module, name)


def _first(value: object, *_: object) -> object:
    return value


_STAND_INS: Mapping[str, Callable[..., Any]] = {
    "torch.jit._pickle.build_boollist": _first,
    "torch.jit._pickle.build_doublelist": _first,
    "torch.jit._pickle.build_intlist": _first,
    "torch.jit._pickle.build_tensorlist": _first,
    "torch.jit._pickle.restore_type_tag": _first,
}


def _tensors_of(program: _Module, name: str) -> Iterator[tuple[str, TensorView]]:
    """The tensors of a module and of those below it. Raises CheckpointError where the tree does not end."""
    waiting: list[tuple[str, int, _Module]] = [("", 0, program)]
    for _ in range(_MOST_MODULES):
        if not waiting:
            return
        prefix, depth, module = waiting.pop()
        for key, value in module.attributes.items():
            if is_tensor(value):
                yield prefix + key, value
            elif isinstance(value, _Module) and depth < _DEEPEST:
                waiting.append((f"{prefix}{key}.", depth + 1, value))
            elif isinstance(value, _Module):
                raise CheckpointError(f"{name} is damaged: its modules lie more than {_DEEPEST} deep")
    raise CheckpointError(f"{name} is damaged: it has more than {_MOST_MODULES} modules")
