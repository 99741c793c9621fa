"""Where a job's media come from, and the files they become."""

import asyncio
from collections.abc import Iterator, Mapping
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

_PLACES = "files for images and videos, in parts named like their fields; everything else as text"


@dataclass(frozen=True)
class Inbox:
    """Where a job's media come from and go to."""

    folder: Path
    uploads: Mapping[str, bytes]
    limits: MediaLimits
    decoders: asyncio.Semaphore  # shared by all requests: each decoder may take gigabytes and every core
    fetching: Fetching = field(default_factory=Fetching)
    numbers: Iterator[int] = field(default_factory=count)
    taken: list[bytes] = field(default_factory=list)  # of the uploads

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
        data = self.uploads.get(reference)
        if data is not None:
            self.taken.append(data)
        elif is_address(reference.strip()):
            most = self.limits.max_source_bytes
            await self.fetching.fetch(reference.strip(), source, field=field, max_bytes=most)
            return await asyncio.to_thread(_head, source)
        else:
            allowed = self.fetching.forms()
            data = await asyncio.to_thread(read_reference, reference, field=field, allowed=allowed, limits=self.limits)
        await asyncio.to_thread(source.write_bytes, data)
        return data[:HEAD_BYTES]

    def refuse_leftovers(self) -> None:
        """Raise InvalidField for an upload that nothing took: it was meant for something."""
        for name, data in self.uploads.items():
            if not any(data is each for each in self.taken):
                raise InvalidField(name, "is a file, and no field of this request takes it", allowed=_PLACES)


def _head(source: Path) -> bytes:
    with source.open("rb") as file:
        return file.read(HEAD_BYTES)
