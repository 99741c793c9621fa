"""What is known of where the model is before anything is looked at, and what is known after."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ModelSource:
    """What the settings say about where the model is.

    folder: the folder that they name; None: they name none.
    hub_model_id: owner/name of a repository, or the absolute path of a folder; None: they name none.
    mounts: where it is looked for when they name neither, in this order.
    hub_revision: the repository's branch, tag or commit; None: where REPOSITORIES says, else its main branch.
    checkpoint: of several checkpoints in NVIDIA's own form, the file or folder to fetch.
    token: None: the one this machine is logged in with, if any.
    offline: only what the hub's cache on this machine already holds.
    hub_seconds: most time for the hub to answer, from a name that must be resolved to a page.
    cache_dir, endpoint: None: the library's own.
    text_encoders: folders in which a text encoder may lie, so that none is fetched with a model.
    """

    folder: Path | None
    hub_model_id: str | None
    hub_revision: str | None
    token: str | None = field(repr=False)
    offline: bool
    mounts: tuple[Path, ...] = ()
    checkpoint: str | None = None
    hub_seconds: float = 30
    cache_dir: Path | None = None
    endpoint: str | None = None
    text_encoders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Located:
    """revision: the commit, for what came from the hub. name, aliases: what to call it, where that is known."""

    folder: Path
    revision: str | None
    name: str | None
    aliases: tuple[str, ...] = ()
