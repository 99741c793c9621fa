"""Reads which tensors a file of torch.save from before torch 1.6 holds, as torch_file does with those since.

Such a file is a row of pickles (a number that marks it, the version, the machine, the structure, the storages' keys)
and then, for each storage, how many values it has, in eight bytes, and the values. RetinaFace is published as one.
"""

import io
import os
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosmos_handler.artifacts.native.archive import BEFORE_ZIP, Storage, stored_tensor
from cosmos_handler.artifacts.native.torch_file import StructureReader, is_tensor, load_structure, state_of
from cosmos_handler.artifacts.safetensors_header import StoredTensor
from cosmos_handler.errors import CheckpointError

MAX_STRUCTURE_BYTES = 4_000_000  # ResNet-50's takes about 40,000

_PICKLES = 5
_COUNT_BYTES = 8


def is_old(path: Path) -> bool:
    """Whether a file begins as one from before torch 1.6. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(BEFORE_ZIP)) == BEFORE_ZIP


def read_old_torch_file(path: Path, *, shown_as: str) -> tuple[Mapping[str, StoredTensor], tuple[str, ...]]:
    """The tensors of a complete file, and the keys under which they lie.

    shown_as: what it is called in errors. Raises CheckpointError as read_torch_file does.
    """
    try:
        with path.open("rb") as file:
            start = file.read(MAX_STRUCTURE_BYTES)
            file_bytes = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise CheckpointError(f"{shown_as} cannot be read: {error.strerror or error}") from error
    structure, listed, structure_bytes = _pickles(start, shown_as)
    found, wrappers = state_of(load_structure(structure, _OldReader, shown_as), shown_as)
    tensors = {key: value for key, value in found.items() if is_tensor(value)}
    if not tensors:
        raise CheckpointError(f"{shown_as} holds no tensors")
    storages = {value.storage.key: value.storage for value in tensors.values()}
    if not _are_keys(load_structure(listed, StructureReader, shown_as), storages):
        raise CheckpointError(f"{shown_as} is damaged: it lacks the data of some tensors")
    promised_bytes = structure_bytes + sum(
        _COUNT_BYTES + storage.num_values * storage.value_bytes for storage in storages.values()
    )
    if file_bytes < promised_bytes:
        raise CheckpointError(f"{shown_as} is truncated: it should have {promised_bytes} bytes and has {file_bytes}")
    prefix = f"{shown_as} is damaged: the data of tensor"
    return {key: stored_tensor(value, f"{prefix} {key[:120]!r}") for key, value in tensors.items()}, wrappers


def _pickles(start: bytes, name: str) -> tuple[bytes, bytes, int]:
    """The structure, the keys of the storages, and where the first storage begins."""
    stream, ends = io.BytesIO(start), [0]
    try:
        for _ in range(_PICKLES):
            for _ in pickletools.genops(stream):
                pass
            ends.append(stream.tell())
    except ValueError:
        raise CheckpointError(f"{name} is truncated or damaged: its structure does not end") from None
    return start[ends[3] : ends[4]], start[ends[4] : ends[5]], ends[5]


def _are_keys(listed: object, storages: Mapping[str, Storage]) -> bool:
    return isinstance(listed, list) and storages.keys() <= {str(key) for key in listed}


class _OldReader(StructureReader):
    def persistent_load(self, pid: Any) -> Storage:
        """As since, and after that a view into another storage, which files of weights have none of."""
        if isinstance(pid, tuple) and len(pid) == 6 and pid[5] is None:
            return super().persistent_load(pid[:5])
        return super().persistent_load(pid)
