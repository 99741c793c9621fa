"""The optional `cosmos.json` of a model folder: which of its subfolders are served, and under which names."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from cosmos_handler.artifacts.inspection import read_object
from cosmos_handler.errors import CheckpointError

FILE_NAME = "cosmos.json"

# A name travels in URLs, headers and log lines; slashes and colons occur in hub ids.
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}$")]
_NAME_RULE = "1 to 200 letters, digits and . _ : / @ + -, the first a letter or digit"


class Entry(BaseModel):
    """One model.

    path: relative to the folder that holds the file, "." for that folder itself.
    prompt_upsampler: the name of the entry whose reasoner writes longer prompts for this one on request.
    control: what the branch is for, of a transfer model whose `controlnet` folder holds one branch and no name.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    path: Annotated[str, StringConstraints(min_length=1)]
    name: _Name
    aliases: list[_Name] = []
    revision: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    control: Literal["edge", "vis", "depth", "seg"] | None = None
    prompt_upsampler: _Name | None = None


class Manifest(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    models: Annotated[list[Entry], Field(min_length=1)]


def read_manifest(root: Path) -> Manifest | None:
    """The names given in a model folder; None where it holds no such file.

    Raises CheckpointError with every fault: keys and types first, then paths and names that do not go together.
    """
    file = root / FILE_NAME
    if not file.is_file():
        return None
    try:
        manifest = Manifest.model_validate(read_object(file, shown_as=str(file)))
    except ValidationError as error:
        raise faulty(file, [_sentence(fault) for fault in error.errors(include_url=False)]) from None
    faults = [*_path_faults(manifest, root), *_name_faults(manifest)]
    if faults:
        raise faulty(file, faults)
    return manifest


def faulty(file: Path, faults: list[str]) -> CheckpointError:
    """One error for everything that is wrong with the file."""
    return CheckpointError(f"{file} is not right:" + "".join(f"\n  - {fault}" for fault in faults))


def _sentence(fault: Any) -> str:
    key = ".".join(str(piece) for piece in fault["loc"])
    if fault["type"] == "extra_forbidden":
        model = Manifest if len(fault["loc"]) == 1 else Entry
        return f"{key} is not a key of this file (allowed: {', '.join(model.model_fields)})"
    if fault["type"] == "missing":
        return f"{key} is missing"
    if fault["type"] == "string_pattern_mismatch":
        return f"{key} is {fault['input']!r} (allowed: {_NAME_RULE})"
    return f"{key}: {fault['msg'].lower()}"


def _path_faults(manifest: Manifest, root: Path) -> list[str]:
    faults = []
    seen: dict[Path, int] = {}
    for number, entry in enumerate(manifest.models):
        key = f"models.{number}.path"
        folder = resolved(root, entry)
        if folder is None:
            faults.append(f"{key} is {entry.path!r}, which leads out of the model folder")
        elif not folder.is_dir():
            faults.append(f"{key} is {entry.path!r}, but there is no such folder")
        elif folder in seen:
            faults.append(f"{key} is the folder of models.{seen[folder]} again (a model may have several aliases)")
        else:
            seen[folder] = number
    return faults


def resolved(root: Path, entry: Entry) -> Path | None:
    """The folder that an entry names, links followed; None where that lies outside the model folder."""
    if "\0" in entry.path:
        return None
    try:
        folder = (root / entry.path).resolve()
    except RuntimeError:  # links in a circle
        return None
    return folder if folder.is_relative_to(root.resolve()) else None


def _name_faults(manifest: Manifest) -> list[str]:
    faults = []
    seen: dict[str, str] = {}
    for number, entry in enumerate(manifest.models):
        keys = [f"models.{number}.name", *(f"models.{number}.aliases.{index}" for index in range(len(entry.aliases)))]
        for key, name in zip(keys, (entry.name, *entry.aliases), strict=True):
            if name in seen:
                faults.append(f"{key} is {name!r}, which {seen[name]} is already")
            else:
                seen[name] = key
    return faults
