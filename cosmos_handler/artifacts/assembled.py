"""Puts folders of several downloads together into one, by links: nothing is copied."""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

_BESIDE = "assembled"


def assembled(snapshot: Path, others: Mapping[str, Path]) -> Path:
    """A folder with the entries of a snapshot and, at each of some places, a folder of the same cache.

    It lies in the repository's folder of the hub's cache, so that it is found again; where that cannot be written, in
    a temporary one.
    """
    cache = snapshot.parents[2]
    contents = [f"{place}={other.relative_to(cache)}" for place, other in sorted(others.items())]
    name = hashlib.sha256("\0".join([snapshot.name, *contents]).encode()).hexdigest()[:40]
    folder = snapshot.parents[1] / _BESIDE / name
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    except OSError:
        staged = folder = Path(tempfile.mkdtemp(prefix="cosmos-assembled-"))
    _link(snapshot, others, staged)
    return folder if staged == folder else staged.rename(folder)


def _link(snapshot: Path, others: Mapping[str, Path], folder: Path) -> None:
    for entry in snapshot.iterdir():
        if not any(entry.name == Path(place).parts[0] for place in others):
            (folder / entry.name).symlink_to(entry.absolute())
    for place, other in others.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).symlink_to(other.absolute(), target_is_directory=True)
