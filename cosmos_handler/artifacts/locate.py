"""Where the model folder lies: a folder on this machine, or a repository of the Hugging Face hub, fetched first."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_handler.artifacts.assembled import assembled
from cosmos_handler.artifacts.known import not_supported
from cosmos_handler.artifacts.native.layout import VAE_FILE, pick
from cosmos_handler.artifacts.repositories import REPOSITORIES, Repository, not_served
from cosmos_handler.errors import CheckpointError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

log = logging.getLogger(__name__)

# What a checkpoint of a served family consists of. NVIDIA's repositories hold each model several times over: of their
# own .pt files only the one that is served is fetched, and only where there is nothing else.
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model")


@dataclass(frozen=True)
class ModelSource:
    """What the settings say about where the model is.

    hub_model_id: owner/name of a repository, or the absolute path of a folder; None: folder is used.
    hub_revision: its branch, tag or commit; None: where REPOSITORIES says, else its main branch.
    checkpoint: of several checkpoints in NVIDIA's own form, the file or folder to fetch.
    token: None: the one this machine is logged in with, if any.
    offline: only what the hub's cache on this machine already holds.
    cache_dir, endpoint: None: the library's own.
    """

    folder: Path
    hub_model_id: str | None
    hub_revision: str | None
    token: str | None = field(repr=False)
    offline: bool
    checkpoint: str | None = None
    cache_dir: Path | None = None
    endpoint: str | None = None


@dataclass(frozen=True)
class Located:
    """revision: the commit, for what came from the hub. name, aliases: what to call it, where that is known."""

    folder: Path
    revision: str | None
    name: str | None
    aliases: tuple[str, ...] = ()


def locate(source: ModelSource) -> Located:
    """The folder with the model's files; may take as long as a download.

    Raises CheckpointError with what to do when the hub does not give them.
    """
    if source.hub_model_id is None:
        return Located(folder=source.folder, revision=None, name=None)
    local = Path(source.hub_model_id)
    if local.is_absolute():
        return _local(local, source)
    if source.token is not None and not (
        source.token.isascii() and source.token.isprintable() and " " not in source.token
    ):
        # Before the library puts it into a header: it would repeat the token in its complaint.
        raise CheckpointError("HF_TOKEN holds blanks or other characters that no token has: set it again")
    owner_and_name = source.hub_model_id
    other = not_served(owner_and_name)
    if other is not None:
        raise CheckpointError(f"{owner_and_name} {not_supported(other)}")
    snapshot = _fetched(source, REPOSITORIES.get(owner_and_name))
    name = owner_and_name.rsplit("/", 1)[-1]
    return Located(
        folder=snapshot.folder,
        revision=snapshot.commit,
        name=name,
        aliases=(owner_and_name,) if owner_and_name != name else (),
    )


def _local(folder: Path, source: ModelSource) -> Located:
    if not folder.is_dir():
        raise CheckpointError(f"HF_MODEL_ID is {folder}, but there is no such folder")
    if source.hub_revision is not None:
        raise CheckpointError(f"HF_MODEL_REVISION cannot apply to {folder}, a folder on this machine: unset it")
    return Located(folder=folder, revision=None, name=None)


@dataclass(frozen=True)
class _Snapshot:
    folder: Path
    commit: str


def _fetched(source: ModelSource, known: Repository | None) -> _Snapshot:
    """The files of the model: its library form, else the one checkpoint in NVIDIA's own form that is served."""
    # Who chooses a checkpoint by NVIDIA's layout means that layout, which is on the main branch.
    if known is not None and source.hub_revision is None and source.checkpoint is None:
        source = replace(source, hub_revision=known.revision)
    snapshot = _download(source, _WANTED)
    commit = snapshot.name
    if known is not None and known.folders and source.hub_revision == known.revision:
        others = {
            place: _download(replace(source, hub_revision=revision), _WANTED)
            for place, revision in known.folders.items()
        }
        return _Snapshot(assembled(snapshot, others), commit)
    # rglob follows no links to folders, and the hub's cache has none; its links to files are found.
    has_library_form = any(snapshot.rglob("*.safetensors"))
    if known is not None:  # their main branches may hold other safetensors
        has_library_form = (snapshot / "model_index.json").is_file()
    if source.checkpoint is not None or not has_library_form:
        snapshot = _download(replace(source, hub_revision=commit), (*_WANTED, *_native(source, snapshot)))
    return _Snapshot(snapshot, commit)


def _native(source: ModelSource, snapshot: Path) -> list[str]:
    """The files of the one checkpoint to fetch in NVIDIA's own form."""
    names = _listed(source, snapshot)
    checkpoints = sorted(name for name in names if name.endswith(".pt"))
    if not checkpoints and any(name.endswith(".safetensors") for name in names):
        return []  # what is wrong with it is told when it is detected
    if not checkpoints:
        raise CheckpointError(f"{_shown(source)} holds no weights: neither safetensors nor .pt files of NVIDIA's own")
    picked = list(pick(checkpoints, chosen=source.checkpoint, where=_shown(source)).values())
    return [*picked, VAE_FILE] if VAE_FILE in names else picked


def _listed(source: ModelSource, snapshot: Path) -> list[str]:
    """The names of all files of the revision; offline, of those in the cache."""
    import httpx2
    from huggingface_hub import HfApi

    if source.offline:
        return [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]
    try:
        api = HfApi(endpoint=source.endpoint, token=source.token)
        names: list[str] = api.list_repo_files(str(source.hub_model_id), revision=snapshot.name)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{_shown(source)} {_reason(error, source)}") from None
    return names


def _download(source: ModelSource, wanted: Sequence[str]) -> Path:
    """The snapshot's folder in the hub's cache; its name is the commit."""
    # Imported here because it takes a quarter of a second, and most starts need only a folder: the front has to
    # answer its first ping at once.
    import httpx2
    from huggingface_hub import snapshot_download

    from cosmos_handler.artifacts.download_log import LogBar

    log.info("fetching %s", _shown(source))
    started_seconds = time.monotonic()
    try:
        path = snapshot_download(
            str(source.hub_model_id),
            revision=source.hub_revision,
            token=source.token,
            local_files_only=source.offline,
            allow_patterns=list(wanted),
            cache_dir=source.cache_dir,
            endpoint=source.endpoint,
            tqdm_class=LogBar,
        )
    # By name: the hub's answers and the connection (httpx2), ids and revisions (ValueError), the cache on disk
    # (OSError), and the native downloader (RuntimeError). Its own messages are not passed on: some repeat headers.
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{_shown(source)} {_reason(error, source)}") from None
    log.info("%s is in %s after %.1f s", _shown(source), path, time.monotonic() - started_seconds)
    return Path(path)


def _shown(source: ModelSource) -> str:
    return f"{source.hub_model_id} (revision {source.hub_revision or 'main'})"


def _reason(error: BaseException, source: ModelSource) -> str:
    """What went wrong and what to do about it, to follow the name of the model."""
    import httpx2
    from huggingface_hub import errors

    while isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # the library looks into its cache after any failure; what matters is the first one
    match error:
        case errors.LocalEntryNotFoundError() | errors.OfflineModeIsEnabled():
            return (
                "is not, or not wholly, in the hub's cache on this machine, and HF_HUB_OFFLINE forbids to fetch it: "
                "fetch it once with a network, or put its files into the model folder and unset HF_MODEL_ID"
            )
        case errors.HFValidationError():
            return "cannot be looked up: HF_MODEL_ID must be owner/name, or the absolute path of a folder"
        case errors.RevisionNotFoundError():
            return "cannot be fetched: the hub has the model but no such branch, tag or commit (HF_MODEL_REVISION)"
        case errors.HfHubHTTPError():
            return _refusal(error, source)
        case httpx2.TransportError():
            return (
                f"cannot be fetched: the hub cannot be reached ({type(error).__name__}). Without internet (a private "
                "network, network isolation) put its files into the model folder and unset HF_MODEL_ID"
            )
        case errors.FileMetadataError():
            return "cannot be fetched: what answered is not a hub; check HF_ENDPOINT and the proxies on the way"
        case OSError() if error.errno is not None:
            return f"cannot be stored in the hub's cache on this machine (HF_HOME): {error.strerror}"
        case _:
            return f"could not be fetched whole ({type(error).__name__}): start again to resume"


def _refusal(error: "HfHubHTTPError", source: ModelSource) -> str:
    from huggingface_hub import errors

    status = error.response.status_code
    whose = "the account of HF_TOKEN" if source.token else "an account whose token is given as HF_TOKEN"
    if isinstance(error, errors.GatedRepoError):
        return f"is gated: its licence must be accepted on the model's page by {whose}"
    if status == 401 and not isinstance(error, errors.RepositoryNotFoundError):
        return f"cannot be fetched: the hub {'does not accept' if source.token else 'asks for'} HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"is not on the hub, or it is private: check HF_MODEL_ID, and that {whose} may see it"
    if status == 403:
        return "cannot be fetched: HF_TOKEN has no permission for it (a fine-grained token needs read access to it)"
    return f"cannot be fetched: the hub answered with status {status}; try again later"
