"""Which file of a folder in NVIDIA's own layout is the checkpoint: the rule, and words for the ones that are not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cosmos_handler.artifacts.checkpoint import Family
from cosmos_handler.artifacts.companions import COMPANIONS, DECODER_TOKENIZER, DIFFUSION_DECODER
from cosmos_handler.artifacts.native.kinds import kind_of
from cosmos_handler.artifacts.native.torch_file import read_torch_file
from cosmos_handler.errors import CheckpointError

VAE_FILE = "tokenizer.pth"
VARIABLE = "COSMOS_CHECKPOINT"

# Without a choice, the first of these folders that holds a checkpoint is served.
PREFERRED = ("base/post-trained", "base/pre-trained", ".")
# Where none of them does, every one of general/<control> that is there is served, as one model.
CONTROLS = ("edge", "blur", "depth", "seg")
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
# Folders of parts; NVIDIA calls that of the guardrails, in the repositories of older models, "guardrail".
_NOT_CHECKPOINTS = frozenset(
    ["text_encoder", "tokenizer", "vae", "scheduler", "transformer", "guardrails", "guardrail", "text_tokenizer"]
) | {DIFFUSION_DECODER.own, DECODER_TOKENIZER.own, *COMPANIONS}


@dataclass(frozen=True)
class NativeCheckpoint:
    """Files that are served, relative to the folder.

    file: with the transformer. controls: for a transfer model, what each control branch is called by NVIDIA's folders
    ("" where nothing says it) and its file. others: checkpoints beside them that are not served.
    """

    family: Family
    file: str
    controls: Mapping[str, str]
    others: tuple[str, ...]

    def told(self) -> str:
        """What is read and what is not, for the log."""
        read = ", ".join(self.controls.values()) or self.file
        return f"reading {read}" + "".join(f", not {other}" for other in self.others)


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


def pick(files: Sequence[str], *, chosen: str | None, where: str) -> dict[str, str]:
    """The files to serve, by their names alone: by control, or one under "".

    where: what holds them, for the error. Raises CheckpointError where it is not told which of them is meant.
    """
    places = list(dict.fromkeys(_folder_of(file) for file in files))
    if chosen is not None:
        wanted = PurePosixPath(chosen).as_posix()
        if wanted in files:
            return {_control_of(wanted): wanted}
        if wanted not in places:
            raise CheckpointError(f"{VARIABLE}={chosen!r} is none of the checkpoints in {where}: {', '.join(files)}")
        return {_control_of(wanted + "/"): _best(files, wanted, where)}
    place = next((each for each in PREFERRED if each in places), places[0] if len(places) == 1 else None)
    if place is not None:
        return {_control_of(place + "/"): _best(files, place, where)}
    controls = [control for control in CONTROLS if f"general/{control}" in places]
    branches = {control: _best(files, f"general/{control}", where) for control in controls}
    if not branches:
        raise CheckpointError(
            f"{where} holds several checkpoints in NVIDIA's own form: choose with {VARIABLE} one of {', '.join(files)}"
        )
    return branches


def choose(folder: Path, files: Sequence[str], *, chosen: str | None) -> NativeCheckpoint | str:
    """The checkpoint of these files to serve, or what there is instead: "Cosmos Predict2".

    Raises CheckpointError where it is not told which of them is meant, or where a file is not whole.
    """
    if any(file.endswith("_control.pt") for file in files):
        return "Cosmos Transfer1"  # a branch for each control, named so, beside base_model.pt
    try:
        picked = pick(files, chosen=chosen, where=str(folder))
    except CheckpointError:
        # The repositories of older models hold several side by side: what they are matters more.
        kind = kind_of(read_torch_file(folder / files[0]).tensors)
        if kind.family is None:
            return kind.title
        raise
    for file in picked.values():
        other = next((title for start, title in _OTHER_FOLDERS.items() if _is_under(_folder_of(file), start)), None)
        if other is not None:
            return other
    kinds = {file: kind_of(read_torch_file(folder / file).tensors) for file in picked.values()}
    titles = {kind.title: kind.family for kind in kinds.values()}
    if len(titles) > 1:
        told = ", ".join(f"{file} is {kind.title}" for file, kind in kinds.items())
        raise CheckpointError(f"{folder} holds checkpoints that do not go together: {told}")
    ((title, family),) = titles.items()
    if family is None:
        return title
    return NativeCheckpoint(
        family=family,
        file=next(iter(picked.values())),
        controls=picked if family == "transfer2.5" else {},
        others=tuple(file for file in files if file not in kinds),
    )


def _best(files: Sequence[str], place: str, where: str) -> str:
    """The file of a folder that is served."""
    here = [file for file in files if _folder_of(file) == place]
    for ending in _ENDINGS:
        found = [file for file in here if file.endswith(ending)]
        if len(found) == 1:
            return found[0]
        if found:
            raise CheckpointError(
                f"{where} holds several checkpoints side by side: choose with {VARIABLE} one of {', '.join(found)}"
            )
    raise AssertionError("every checkpoint ends with .pt")


def _control_of(place: str) -> str:
    """Which control a file or folder of NVIDIA's layout is for; "" where it does not say."""
    return next((control for control in CONTROLS if place.startswith(f"general/{control}/")), "")


def _folder_of(file: str) -> str:
    return PurePosixPath(file).parent.as_posix()


def _is_under(place: str, start: str) -> bool:
    return place == start or place.startswith((f"{start}/", f"{start}-"))
