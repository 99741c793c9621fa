"""Which file of a folder in NVIDIA's own layout is the checkpoint: the rule, and words for the ones that are not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cosmos_handler.artifacts.checkpoint import Family
from cosmos_handler.artifacts.native.kinds import kind_of
from cosmos_handler.artifacts.native.torch_file import read_torch_file
from cosmos_handler.errors import CheckpointError

VAE_FILE = "tokenizer.pth"
VARIABLE = "COSMOS_CHECKPOINT"

# Without a choice, the first of these folders that holds a checkpoint is served.
PREFERRED = ("base/post-trained", "base/pre-trained", ".")
# Beginnings of folders that hold what no library runs, or what is not served yet.
_OTHER_FOLDERS: Mapping[str, str] = {
    "base/distilled": "the distilled Cosmos Predict2.5",
    "distilled": "a distilled Cosmos Transfer2.5",
    "auto/multiview": "a multiview Cosmos 2.5",
    "robot/multiview": "a multiview Cosmos 2.5",
    "robot/action-cond": "an action-conditioned Cosmos 2.5",
}
# Of several files in a folder the first kind is taken, as NVIDIA's exporter writes all of them beside each other.
_ENDINGS = ("ema_bf16.pt", "ema_fp32.pt", ".pt")
_DEEPEST = 3
_LAYOUT = ("base/*", "general/*", "distilled/general/*", "auto/*", "robot/*")  # folders of NVIDIA's repositories of 2.5
_SUFFIXES = (".pt", ".pth", ".jit")
_NOT_CHECKPOINTS = ("text_encoder", "tokenizer", "vae", "scheduler", "transformer")


@dataclass(frozen=True)
class NativeCheckpoint:
    """A file that is served. file: relative to the folder. others: checkpoints beside it that are not."""

    family: Family
    file: str
    others: tuple[str, ...]


def own_files(folder: Path) -> list[str]:
    """What marks a folder as a model in NVIDIA's own form: files in it, or in the folders of NVIDIA's layout."""
    found = [path for path in folder.glob("*") if path.suffix in _SUFFIXES]
    for place in _LAYOUT:
        found += folder.glob(f"{place}/*.pt")
    return sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())


def checkpoint_files(folder: Path) -> list[str]:
    """Every .pt file that may be a checkpoint, relative to the folder, at most three folders down."""
    found = []
    for level in range(_DEEPEST + 1):
        for path in folder.glob("*/" * level + "*.pt"):
            relative = path.relative_to(folder)
            if path.is_file() and not any(
                piece.startswith(".") or piece in _NOT_CHECKPOINTS for piece in relative.parts
            ):
                found.append(relative.as_posix())
    return sorted(found)


def choose(folder: Path, files: Sequence[str], *, chosen: str | None) -> NativeCheckpoint | str:
    """The one checkpoint of these files to serve, or what there is instead: "Cosmos Predict2".

    Raises CheckpointError where it is not told which of them is meant, or where the file is not whole.
    """
    candidates = _chosen(folder, files, chosen) if chosen is not None else _preferred(folder, files)
    place = _folder_of(candidates[0])
    other = next((title for start, title in _OTHER_FOLDERS.items() if _is_under(place, start)), None)
    if other is not None:
        return other
    kinds = {}
    for file in candidates:
        kinds[file] = kind_of(read_torch_file(folder / file).tensors)
        if kinds[file].family is None:
            return kinds[file].title
    file = _one(folder, candidates)
    family = kinds[file].family
    if family is None:
        raise AssertionError("a kind without a family was returned above")
    return NativeCheckpoint(family=family, file=file, others=tuple(each for each in files if each != file))


def _chosen(folder: Path, files: Sequence[str], chosen: str) -> list[str]:
    wanted = PurePosixPath(chosen).as_posix()
    found = [file for file in files if file == wanted or _folder_of(file) == wanted]
    if not found:
        raise CheckpointError(f"{VARIABLE}={chosen!r} is none of the checkpoints in {folder}: {', '.join(files)}")
    return found


def _preferred(folder: Path, files: Sequence[str]) -> list[str]:
    places = list(dict.fromkeys(_folder_of(file) for file in files))
    place = next((each for each in PREFERRED if each in places), None)
    if place is None and len(places) > 1:
        raise CheckpointError(
            f"{folder} holds several checkpoints in NVIDIA's own form: choose with {VARIABLE} one of {', '.join(files)}"
        )
    return [file for file in files if _folder_of(file) == (place or places[0])]


def _one(folder: Path, candidates: Sequence[str]) -> str:
    for ending in _ENDINGS:
        found = [file for file in candidates if file.endswith(ending)]
        if len(found) == 1:
            return found[0]
        if found:
            raise CheckpointError(
                f"{folder} holds several checkpoints side by side: choose with {VARIABLE} one of {', '.join(found)}"
            )
    raise AssertionError("every candidate ends with .pt")


def _folder_of(file: str) -> str:
    return PurePosixPath(file).parent.as_posix()


def _is_under(place: str, start: str) -> bool:
    return place == start or place.startswith((f"{start}/", f"{start}-"))
