"""A file out of the folder that the deployer has opened to clients; runs in the short-lived process only."""

import os
import stat
from pathlib import Path

from cosmos_handler.media.address import FileAddress
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.rules import FetchRules
from cosmos_handler.media.taking import take


def fetch_file(place: FileAddress, output: Path, rules: FetchRules, *, max_bytes: int) -> None:
    """Copy the file to `output`. Raises Refusal."""
    try:
        # Not to block: a pipe without a writer would.
        descriptor = os.open(place.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        raise Refusal("media", "cannot be read: there is no such file, or it may not be read") from None
    try:
        size_bytes = _checked(descriptor, rules)
    except Refusal:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        take(file, output, promised_bytes=size_bytes, max_bytes=max_bytes)


def _checked(descriptor: int, rules: FetchRules) -> int:
    """The size of what was opened, wherever links have led: between this and the reading nothing can be swapped."""
    found = Path(f"/proc/self/fd/{descriptor}").resolve()
    if rules.folder is None or not found.is_relative_to(Path(rules.folder).resolve()):
        raise Refusal("address", "leads out of the folder that is allowed (COSMOS_MEDIA_DIR)")
    kept = os.fstat(descriptor)
    if not stat.S_ISREG(kept.st_mode):
        raise Refusal("media", "cannot be read: it is not a file")
    return kept.st_size
