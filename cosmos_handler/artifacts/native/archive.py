"""The archive that torch writes: a zip file of a pickle with the structure, and a record of bytes for each storage."""

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cosmos_handler.artifacts.safetensors_header import StoredTensor
from cosmos_handler.errors import CheckpointError

MAX_STRUCTURE_BYTES = 100_000_000  # the largest published checkpoints need a hundredth of it

_LFS_POINTER = b"version https://git-lfs"
BEFORE_ZIP = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how files of torch before 1.6 begin


@dataclass(frozen=True)
class Storage:
    """The values that tensors are views of, as the structure describes them."""

    dtype: str
    value_bytes: int
    key: str
    num_values: int


@dataclass(frozen=True)
class TensorView:
    """A tensor as the structure describes it: offset and stride count values of the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@contextmanager
def opened(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    """The archive that a file is, while it is read. Raises CheckpointError where it is none, or not a whole one."""
    try:
        with path.open("rb") as file:
            _refuse_other_kinds(file.read(len(_LFS_POINTER)), name)
            with zipfile.ZipFile(file) as archive:
                yield archive
    # The second for a record that ends early; the last two for a directory that asks for a newer zip, or has names in
    # no alphabet.
    except (zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError):
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


@dataclass(frozen=True)
class Records:
    """The records of an archive. folder: the one that all of them lie in, with its slash. name: for errors."""

    archive: zipfile.ZipFile
    name: str
    folder: str
    infos: Mapping[str, zipfile.ZipInfo]

    @classmethod
    def of(cls, archive: zipfile.ZipFile, name: str) -> "Records":
        """Raises CheckpointError where it is no archive of torch's, or not one that is read here."""
        infos = {info.filename: info for info in archive.infolist()}
        structures = [file for file in infos if file.count("/") == 1 and file.endswith("/data.pkl")]
        if len(structures) != 1:
            raise CheckpointError(f"{name} is not a file of torch.save: there is no data.pkl in it")
        found = cls(archive, name, structures[0].removesuffix("data.pkl"), infos)
        if "byteorder" in found and found.content("byteorder") != b"little":
            raise CheckpointError(f"{name} was written on a big-endian machine, and is not read")
        return found

    def __contains__(self, record: str) -> bool:
        return self.folder + record in self.infos

    def content(self, record: str) -> bytes:
        """The bytes of a record as torch writes it, which is as it is."""
        info = self.infos[self.folder + record]
        # What is compressed could be any size, and what is encrypted has no key here.
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise CheckpointError(f"{self.name} is not a file of torch.save: its {info.filename[-100:]} is compressed")
        return self.archive.read(info)

    def structure(self) -> bytes:
        """The pickle of the structure."""
        if self.infos[f"{self.folder}data.pkl"].file_size > MAX_STRUCTURE_BYTES:
            raise CheckpointError(f"{self.name} has a structure of more than {MAX_STRUCTURE_BYTES} bytes")
        return self.content("data.pkl")

    def tensor(self, key: str, view: TensorView) -> StoredTensor:
        """What the tensor of a key is; its data is there and whole."""
        storage = view.storage
        prefix = f"{self.name} is damaged: the data of tensor {key[:120]!r}"
        info = self.infos.get(f"{self.folder}data/{storage.key}")
        if info is None:
            raise CheckpointError(f"{prefix} is missing")
        if info.file_size != storage.num_values * storage.value_bytes or info.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"{prefix} takes {info.file_size} bytes, not {storage.num_values} {storage.dtype}")
        return stored_tensor(view, prefix)

    def checksum(self, view: TensorView) -> int:
        """Of the storage that a tensor is a view of, as the archive lists it."""
        return self.infos[f"{self.folder}data/{view.storage.key}"].CRC


def stored_tensor(tensor: TensorView, prefix: str) -> StoredTensor:
    """What a tensor is. prefix: begins the error where it does not lie inside its storage."""
    sizes_fit = len(tensor.shape) == len(tensor.stride) and all(
        type(number) is int and number >= 0 for number in (tensor.offset, *tensor.shape, *tensor.stride)
    )
    if not sizes_fit or _last(tensor) >= tensor.storage.num_values:
        raise CheckpointError(f"{prefix} does not fit its shape {list(tensor.shape[:8])}")
    size_bytes = math.prod(tensor.shape) * tensor.storage.value_bytes
    return StoredTensor(dtype=tensor.storage.dtype, shape=tensor.shape, size_bytes=size_bytes)


def _last(tensor: TensorView) -> int:
    """The position of its last value in the storage; -1 where it has none."""
    if 0 in tensor.shape:
        return -1
    return tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride, strict=True))
