"""Whose the folders of jobs and bodies are: each server holds a lock, and sweeps what servers left that were killed."""

import fcntl
import logging
import re
import shutil
from pathlib import Path
from secrets import token_hex
from typing import IO

log = logging.getLogger(__name__)

_LOCK = "cosmos-serve-{}.lock"
SPOOL_PREFIX = "spool-"
_OWNED = re.compile(r"(?:job-\d{8}T\d{6}-[0-9a-f]{12}|spool)-([0-9a-f]{8})-\w+")


class Claim:
    """This server's mark in the work folder. owner: stands in the names of the folders of its jobs and bodies."""

    def __init__(self, folder: Path) -> None:
        self.owner = token_hex(4)
        self._path = folder / _LOCK.format(self.owner)
        # Locked before it has its name: else another server that starts now could take it for a dead one's.
        unnamed = self._path.with_suffix(".new")
        self._file = unnamed.open("wb")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(self._path)

    def release(self) -> None:
        """The server ends in good order."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def sweep(folder: Path) -> None:
    """Remove the folders whose server is no more. The kernel gives a lock back however its holder ended."""
    dead = {lock.stem.removeprefix("cosmos-serve-"): lock for lock in folder.glob(_LOCK.format("*")) if not _held(lock)}
    living = {lock.stem.removeprefix("cosmos-serve-") for lock in folder.glob(_LOCK.format("*"))} - dead.keys()
    for path in (*folder.glob("job-*"), *folder.glob(f"{SPOOL_PREFIX}*")):
        owned = _OWNED.fullmatch(path.name)
        if owned is not None and owned[1] not in living and not path.is_symlink():
            log.info("%s is left of a server that was killed; it is removed", path.name)
            shutil.rmtree(path, ignore_errors=True)
    for lock in dead.values():
        lock.unlink(missing_ok=True)


def _held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            return _is_locked(file)
    except OSError:  # gone meanwhile, or another user's
        return True


def _is_locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
