"""The Hugging Face hub: whether it can be reached, what of a repository it gives, and words for what it does not."""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_handler.artifacts.source import ModelSource
from cosmos_handler.errors import CheckpointError

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

log = logging.getLogger(__name__)

_WITHOUT_A_NETWORK = (
    "Without internet (a private network, network isolation) put its files into /opt/ml/model and unset HF_MODEL_ID"
)


def unreachable(source: ModelSource) -> str | None:
    """Why the hub cannot be reached, to follow the name of the model; None where it answers, whatever it says.

    Takes no longer than the source allows: the library itself waits without end for the answer to its first question.
    """
    # Imported here because it takes a quarter of a second, and most starts need only a folder: the front has to
    # answer its first ping at once.
    import httpx2
    from huggingface_hub import HfApi, set_client_factory

    set_client_factory(lambda: _client(source.hub_seconds))
    failures: list[str] = []

    def ask() -> None:
        try:
            HfApi(endpoint=source.endpoint, token=source.token).model_info(str(source.hub_model_id))
        except httpx2.TransportError as error:
            failures.append(type(error).__name__)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError):
            pass  # an answer, or no question: what is fetched next meets the same, and tells it

    # No time-out reaches into the resolver. Nobody waits at the end for a thread of this kind.
    asking = threading.Thread(target=ask, daemon=True, name="hub")
    asking.start()
    asking.join(source.hub_seconds)
    if asking.is_alive():
        said = f"the hub did not answer within {source.hub_seconds:g} s (COSMOS_HUB_SECONDS)"
    elif failures:
        said = f"the hub cannot be reached ({failures[0]})"
    else:
        return None
    return f"cannot be fetched: {said}. {_WITHOUT_A_NETWORK}"


def _client(seconds: float) -> "httpx2.Client":
    """The library's own client, which waits at most so long where its callers would wait for ever."""
    from huggingface_hub.utils._http import default_client_factory

    def bound(request: "httpx2.Request") -> None:
        waits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            name: seconds if waits.get(name) is None else waits[name] for name in ("connect", "read", "write", "pool")
        }

    client = default_client_factory()
    client.event_hooks = {"request": [*client.event_hooks["request"], bound]}
    return client


def listed(source: ModelSource, snapshot: Path) -> list[str]:
    """The names of all files of the revision; offline, of those in the cache."""
    import httpx2
    from huggingface_hub import HfApi

    if source.offline:
        return [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]
    try:
        api = HfApi(endpoint=source.endpoint, token=source.token)
        names: list[str] = api.list_repo_files(str(source.hub_model_id), revision=snapshot.name)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{shown(source)} {_reason(error, source)}") from None
    return names


def download(source: ModelSource, wanted: Sequence[str]) -> Path:
    """The snapshot's folder in the hub's cache; its name is the commit."""
    import httpx2
    from huggingface_hub import snapshot_download

    from cosmos_handler.artifacts.download_log import LogBar

    log.info("fetching %s", shown(source))
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
        raise CheckpointError(f"{shown(source)} {_reason(error, source)}") from None
    log.info("%s is in %s after %.1f s", shown(source), path, time.monotonic() - started_seconds)
    return Path(path)


def shown(source: ModelSource) -> str:
    """What to call it in a sentence."""
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
                "fetch it once with a network, or put its files into /opt/ml/model and unset HF_MODEL_ID"
            )
        case errors.HFValidationError():
            return "cannot be looked up: HF_MODEL_ID must be owner/name, or the absolute path of a folder"
        case errors.RevisionNotFoundError():
            return "cannot be fetched: the hub has the model but no such branch, tag or commit (HF_MODEL_REVISION)"
        case errors.HfHubHTTPError():
            return _refusal(error, source)
        case httpx2.TransportError():
            return f"cannot be fetched: the hub cannot be reached ({type(error).__name__}). {_WITHOUT_A_NETWORK}"
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
