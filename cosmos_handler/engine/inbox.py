"""Where a job's media come from, and the files they become."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from cosmos_handler.errors import InvalidField
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.decoding import decode
from cosmos_handler.media.fetching import Fetching
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.sniff import HEAD_BYTES, media_kind
from cosmos_handler.media.sources import is_address, read_reference
from cosmos_handler.media.wanted import Wanted
from cosmos_handler.schemas.upload import Upload

_PLACES = "files for images and videos, in parts named like their fields; everything else as text"


@dataclass(frozen=True)
class Inbox:
    """Where a job's media come from and go to."""

    folder: Path
    uploads: Mapping[str, Upload]
    limits: MediaLimits
    decoders: asyncio.Semaphore  # shared by all requests: each decoder may take gigabytes and every core
    fetching: Fetching = field(default_factory=Fetching)
    numbers: Iterator[int] = field(default_factory=count)
    taken: list[Upload] = field(default_factory=list)  # of the uploads

    async def bring(self, reference: str, wanted: Mapping[str, Wanted], *, field: str) -> MediaFile:
        """One medium, decoded: what is wanted of it, by what it is ("image", "video").

        Raises MediaError, TooLarge or InvalidField naming the field.
        """
        number = next(self.numbers)
        source = self.folder / f"input-{number}"
        try:
            head = await self._put(reference, source, field)
            # A medium of the wrong kind goes on as the other one: the decoder knows the sentence for it.
            plan = wanted.get(media_kind(head) or "") or next(iter(wanted.values()))
            async with self.decoders:
                return await decode(source, self.folder / f"input-{number}.npy", plan, field=field, limits=self.limits)
        finally:
            source.unlink(missing_ok=True)

    async def _put(self, reference: str, source: Path, field: str) -> bytes:
        """Write the bytes that a reference means into a file. Returns the first of them."""
        upload = self.uploads.get(reference)
        if upload is not None:
            self.taken.append(upload)
            await asyncio.to_thread(upload.link, source)
            return await asyncio.to_thread(upload.head, HEAD_BYTES)
        if is_address(reference.strip()):
            most = self.limits.max_source_bytes
            await self.fetching.fetch(reference.strip(), source, field=field, max_bytes=most)
            return await asyncio.to_thread(_head, source)
        allowed = self.fetching.forms()
        data = await asyncio.to_thread(read_reference, reference, field=field, allowed=allowed, limits=self.limits)
        await asyncio.to_thread(source.write_bytes, data)
        return data[:HEAD_BYTES]

    def refuse_leftovers(self) -> None:
        """Raise InvalidField for an upload that nothing took: it was meant for something."""
        for name, upload in self.uploads.items():
            if not any(upload is each for each in self.taken):
                raise InvalidField(name, "is a file, and no field of this request takes it", allowed=_PLACES)


@contextlib.asynccontextmanager
async def taken_in(uploads: Mapping[str, Upload], folder: Path) -> AsyncIterator[Mapping[str, Upload]]:
    """The same files, in the job's own folder as long as this block lasts: the request may be gone before it ends."""
    paths: list[Path] = []
    try:
        yield _linked(uploads, folder, paths)
    finally:
        for path in paths:
            await asyncio.to_thread(path.unlink, missing_ok=True)


def _linked(uploads: Mapping[str, Upload], folder: Path, paths: list[Path]) -> Mapping[str, Upload]:
    linked: dict[str, Upload] = {}
    for name, upload in uploads.items():
        linked[name] = upload
        if isinstance(upload.place, Path):
            paths.append(folder / f"upload-{len(paths)}")
            upload.link(paths[-1])
            linked[name] = Upload(paths[-1], upload.size_bytes)
    return linked


def _head(source: Path) -> bytes:
    with source.open("rb") as file:
        return file.read(HEAD_BYTES)
