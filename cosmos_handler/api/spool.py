"""Where the large files of one request lie while it is answered: in a folder of its own in the work folder."""

import asyncio
import errno
import os
import shutil
from pathlib import Path
from tempfile import mkdtemp

from cosmos_handler.engine.work_dir import SPOOL_PREFIX
from cosmos_handler.errors import BodiesFull
from cosmos_handler.schemas.upload import Upload

_IN_MEMORY_BYTES = 2**16
_PIECE_BYTES = 2**20
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_RETRY_SECONDS = 30


class Spool:
    """The folder; made when the first file needs it. owner: whose server it is of, in its name."""

    def __init__(self, work_dir: Path, owner: str) -> None:
        self._work_dir = work_dir
        self._owner = owner
        self._folder: Path | None = None
        self._num_files = 0

    def new_file(self) -> Path:
        """An empty file."""
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix=f"{SPOOL_PREFIX}{self._owner}-", dir=self._work_dir))
        path = self._folder / f"upload-{self._num_files}"
        self._num_files += 1
        path.touch(mode=0o600, exist_ok=False)
        return path

    async def remove(self) -> None:
        """The folder with all that is in it. Links to its files stay."""
        if self._folder is not None:
            # Off the event loop: letting go of a gigabyte takes its time.
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None


class Arriving:
    """A file as it comes: gathered in memory, written a piece at a time. Never more than a piece of it is held."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._gathered = bytearray()
        self._path: Path | None = None
        self.size_bytes = 0

    def take(self, data: bytes) -> None:
        """What came. To be followed by a call of save() before long."""
        self._gathered += data
        self.size_bytes += len(data)

    async def save(self) -> None:
        """Write what is gathered, where it is worth it. Raises BodiesFull where the disk has no room."""
        if len(self._gathered) >= _PIECE_BYTES:
            await self._write()

    async def end(self) -> Upload:
        """The whole file. Raises BodiesFull."""
        if self._path is None and self.size_bytes <= _IN_MEMORY_BYTES:
            return Upload.of(bytes(self._gathered))
        if self._gathered:
            await self._write()
        if self._path is None:
            raise AssertionError("a large file was written nowhere: this is a bug")
        return Upload(self._path, self.size_bytes)

    async def _write(self) -> None:
        try:
            self._path = self._path or self._spool.new_file()
            data, self._gathered = self._gathered, bytearray()
            await asyncio.to_thread(_append, self._path, data)
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            raise BodiesFull("the disk has no room for the body", retry_after_seconds=_RETRY_SECONDS) from None


def _append(path: Path, data: bytearray) -> None:
    # Never made anew: a write that a cancelled request left behind must not bring back what was removed.
    with path.open("r+b", buffering=0) as file:
        file.seek(0, os.SEEK_END)
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
