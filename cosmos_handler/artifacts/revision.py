"""A name for the exact files of a checkpoint, for folders whose commit on the hub is not known."""

import hashlib
from collections.abc import Iterable, Mapping

from cosmos_handler.artifacts.inspection import Inspection, joined

_SETTINGS_SUFFIXES = (".json", ".txt", ".jinja", ".model")
_NOT_OF_THE_CHECKPOINT = ("cosmos.json",)  # names a checkpoint from outside, so it does not change what it is


def files_revision(look: Inspection, folders: Iterable[str]) -> str:
    """ "files-" and 12 hexadecimal digits over the names, sizes, settings and weight headers in some of its folders.

    Tensor data is left out, as reading it would take as long as loading: two trainings of one architecture, saved with
    the same settings, share a revision.
    """
    digest = hashlib.sha256()
    for file, content in sorted(_contents(look, folders, look.headers).items()):
        size_bytes = (look.folder / file).stat().st_size
        digest.update(f"{file}\0{size_bytes}\0{len(content)}\0".encode())
        digest.update(content)
    return f"files-{digest.hexdigest()[:12]}"


def _contents(look: Inspection, folders: Iterable[str], headers: Mapping[str, bytes]) -> dict[str, bytes]:
    contents = dict(headers)
    for folder in folders:
        for name in look.names(folder):
            if name.endswith(_SETTINGS_SUFFIXES) and not name.startswith(".") and name not in _NOT_OF_THE_CHECKPOINT:
                file = joined(folder, name)
                contents[file] = (look.folder / file).read_bytes()
    return contents
