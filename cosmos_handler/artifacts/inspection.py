"""Looks into the folder of one checkpoint and gathers everything that is wrong with it, instead of the first thing."""

import json
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cosmos_handler.artifacts.safetensors_header import Header, read_header
from cosmos_handler.errors import CheckpointError


def read_object(path: Path, *, shown_as: str) -> dict[str, Any]:
    """The JSON object in a file. shown_as: what the file is called in errors. Raises CheckpointError."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{shown_as} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        raise CheckpointError(f"{shown_as} is not valid JSON") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{shown_as} is not a JSON object")
    return value


class WeightFile(Protocol):
    """What was read of a file with weights."""

    @property
    def raw(self) -> bytes:
        """What changes whenever the file's tensors do."""
        ...


F = TypeVar("F", bound=WeightFile, covariant=True)


class Reader(Protocol[F]):
    """What reads such a file. Raises CheckpointError where it is not whole."""

    def __call__(self, path: Path, *, shown_as: str) -> F:
        """shown_as: what the file is called in errors."""
        ...


class Inspection:
    """One checkpoint folder under examination. Names of files are relative to it, with slashes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.headers: dict[str, bytes] = {}  # of every weight file that was read, for the revision

    def fault(self, sentence: str) -> None:
        """Notes something that is wrong, once."""
        if sentence not in self.faults:
            self.faults.append(sentence)

    def has(self, file: str) -> bool:
        """Whether there is such a file (a dangling link is none)."""
        return (self.folder / file).is_file()

    def keeps(self, file: str, *, folder: str) -> bool:
        """Whether a file that another file names lies in a folder of the checkpoint, links followed.

        The hub's cache is made of links from snapshots/<commit> into the folder blobs beside it, which is inside.
        """
        base = (self.folder / folder).resolve()
        blobs = [parent.parent / "blobs" for parent in base.parents if parent.name == "snapshots"]
        try:
            place = (self.folder / file).resolve()
        except RuntimeError:  # links in a circle
            return False
        return any(place.is_relative_to(home) for home in (base, *blobs))

    def require(self, file: str) -> bool:
        """Whether there is such a file; its absence is a fault."""
        if self.has(file):
            return True
        self.fault(f"{file} is missing")
        return False

    def json_object(self, file: str) -> dict[str, Any] | None:
        """The JSON object in a file that must be there; None, and a fault noted, where it is not or is not one."""
        if not self.require(file):
            return None
        try:
            return read_object(self.folder / file, shown_as=file)
        except CheckpointError as error:
            self.fault(str(error))
            return None

    def header(self, file: str) -> Header | None:
        """The header of a safetensors file that must be there; None, and a fault noted, where it is not whole."""
        return self.weight_file(file, read_header)

    def weight_file(self, file: str, read: Reader[F]) -> F | None:
        """What a reader finds in a weight file that must be there; None, and a fault noted, where it is not whole."""
        if not self.require(file):
            return None
        try:
            content = read(self.folder / file, shown_as=file)
        except CheckpointError as error:
            self.fault(str(error))
            return None
        self.headers[file] = content.raw
        return content

    def names(self, folder: str) -> list[str]:
        """The names of the files lying directly in a folder of the checkpoint, sorted; none where it is missing."""
        place = self.folder / folder
        return sorted(entry.name for entry in place.iterdir() if entry.is_file()) if place.is_dir() else []


def component_config(look: Inspection, folder: str, *, key: str, expected: str) -> dict[str, Any] | None:
    """A component's config; None, and a fault noted, where it is missing or of another class."""
    file = joined(folder, "config.json")
    config = look.json_object(file)
    if config is None:
        return None
    if config.get(key) != expected:
        look.fault(f"{file}: {key} is {config.get(key)!r}, not {expected!r}")
        return None
    return config


def joined(folder: str, file: str) -> str:
    """A file's name relative to the checkpoint, from the folder of a part ("." for the checkpoint itself)."""
    return file if folder == "." else f"{folder}/{file}"
