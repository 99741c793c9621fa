"""Where the model folder lies, by one order of places, and which files of a repository are fetched for it."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from cosmos_handler.artifacts.assembled import assembled
from cosmos_handler.artifacts.discover import nothing_in
from cosmos_handler.artifacts.hub import download, listed, shown, unreachable
from cosmos_handler.artifacts.known import SUPPORTED, not_supported
from cosmos_handler.artifacts.native.layout import VAE_FILE, pick
from cosmos_handler.artifacts.repositories import REPOSITORIES, Repository, not_served
from cosmos_handler.artifacts.source import Located, ModelSource
from cosmos_handler.artifacts.t5 import OWN as TEXT_ENCODER
from cosmos_handler.artifacts.t5 import holds_text_encoder
from cosmos_handler.errors import CheckpointError

log = logging.getLogger(__name__)

# What a checkpoint of a served family consists of. NVIDIA's repositories hold each model several times over: of their
# own .pt files only the one that is served is fetched, and only where there is nothing else.
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model")


@dataclass(frozen=True)
class _Snapshot:
    folder: Path
    commit: str


def locate(source: ModelSource) -> Located:
    """The folder with the model's files: the one that is named, else the repository, else the first mount with a model.

    May take as long as a download. Raises CheckpointError with what to do when there is none, or when the hub does not
    give it.
    """
    if source.folder is not None:
        return Located(folder=_named(source.folder, "COSMOS_MODEL_DIR"), revision=None, name=None)
    if source.hub_model_id is None:
        return Located(folder=_mounted(source), revision=None, name=None)
    _tell_of_mounts_left_out(source, source.hub_model_id)
    if Path(source.hub_model_id).is_absolute():
        if source.hub_revision is not None:
            raise CheckpointError(
                f"HF_MODEL_REVISION cannot apply to {source.hub_model_id}, a folder on this machine: unset it"
            )
        return Located(folder=_named(Path(source.hub_model_id), "HF_MODEL_ID"), revision=None, name=None)
    return _from_the_hub(source, source.hub_model_id)


def _named(folder: Path, variable: str) -> Path:
    if not folder.is_dir():
        raise CheckpointError(f"{variable} is {folder}, but there is no such folder")
    log.info("the model folder is %s (%s)", folder, variable)
    return folder


def _mounted(source: ModelSource) -> Path:
    """The first mount that holds a model, be it one that cannot be served: that is told then."""
    found = []
    for mount in source.mounts:
        nothing = nothing_in(mount, chosen=source.checkpoint)
        if nothing is None:
            log.info("the model folder is %s (mounted there)", mount)
            return mount
        found.append(f"{mount} {nothing}")
    raise CheckpointError(
        f"there is no model: {'; '.join(found)}. COSMOS_MODEL_DIR may name another folder, HF_MODEL_ID a repository; "
        f"expected in one of them, or one per subfolder: {SUPPORTED}"
    )


def _tell_of_mounts_left_out(source: ModelSource, chosen: str) -> None:
    for mount in source.mounts:
        if mount != Path(chosen) and nothing_in(mount, chosen=source.checkpoint) is None:
            log.warning("%s holds a model, but HF_MODEL_ID=%s comes first: unset it to serve that one", mount, chosen)


def _from_the_hub(source: ModelSource, owner_and_name: str) -> Located:
    if source.token is not None and not (
        source.token.isascii() and source.token.isprintable() and " " not in source.token
    ):
        # Before the library puts it into a header: it would repeat the token in its complaint.
        raise CheckpointError("HF_TOKEN holds blanks or other characters that no token has: set it again")
    other = not_served(owner_and_name)
    if other is not None:
        raise CheckpointError(f"{owner_and_name} {not_supported(other)}")
    snapshot = _reached(source, REPOSITORIES.get(owner_and_name))
    name = owner_and_name.rsplit("/", 1)[-1]
    log.info("the model folder is %s (HF_MODEL_ID)", snapshot.folder)
    return Located(
        folder=snapshot.folder,
        revision=snapshot.commit,
        name=name,
        aliases=(owner_and_name,) if owner_and_name != name else (),
    )


def _reached(source: ModelSource, known: Repository | None) -> _Snapshot:
    """What the hub gives; where it is out of reach, what its cache on this machine holds whole."""
    fault = None if source.offline else unreachable(source)
    if fault is None:
        return _fetched(source, known)
    try:
        snapshot = _fetched(replace(source, offline=True), known)
    except CheckpointError:
        raise CheckpointError(f"{shown(source)} {fault}") from None
    log.warning("%s %s; taken is what the hub's cache on this machine holds", shown(source), fault)
    return snapshot


def _fetched(source: ModelSource, known: Repository | None) -> _Snapshot:
    """The files of the model: its library form, else the one checkpoint in NVIDIA's own form that is served."""
    # Who chooses a checkpoint by NVIDIA's layout means that layout, which is on the main branch.
    if known is not None and source.hub_revision is None and source.checkpoint is None:
        source = replace(source, hub_revision=known.revision)
    snapshot = download(source, _WANTED)
    commit = snapshot.name
    if known is not None and known.folders and source.hub_revision == known.revision:
        others = {
            place: download(replace(source, hub_revision=revision), _WANTED)
            for place, revision in known.folders.items()
        }
        return _Snapshot(assembled(snapshot, others), commit)
    # rglob follows no links to folders, and the hub's cache has none; its links to files are found.
    has_library_form = any(snapshot.rglob("*.safetensors"))
    if known is not None:  # their main branches may hold other safetensors
        has_library_form = (snapshot / "model_index.json").is_file()
    if source.checkpoint is not None or not has_library_form:
        snapshot = download(replace(source, hub_revision=commit), (*_WANTED, *_native(source, snapshot)))
    if known is not None and known.beside:
        return _Snapshot(assembled(snapshot, _beside(source, known)), commit)
    return _Snapshot(snapshot, commit)


def _beside(source: ModelSource, known: Repository) -> dict[str, Path]:
    """The folders of other repositories that go with a model, by where they go in it."""
    found: dict[str, Path] = {}
    for other in known.beside:
        if TEXT_ENCODER in other.places and any(holds_text_encoder(place) for place in source.text_encoders):
            continue
        snapshot = download(replace(source, hub_model_id=other.hub_id, hub_revision=None), other.files)
        found |= {place: snapshot / folder for place, folder in other.places.items()}
    return found


def _native(source: ModelSource, snapshot: Path) -> list[str]:
    """The files of the one checkpoint to fetch in NVIDIA's own form."""
    names = listed(source, snapshot)
    checkpoints = sorted(name for name in names if name.endswith(".pt"))
    if not checkpoints and any(name.endswith(".safetensors") for name in names):
        return []  # what is wrong with it is told when it is detected
    if not checkpoints:
        raise CheckpointError(f"{shown(source)} holds no weights: neither safetensors nor .pt files of NVIDIA's own")
    picked = list(pick(checkpoints, chosen=source.checkpoint, where=shown(source)).values())
    return [*picked, VAE_FILE] if VAE_FILE in names else picked
