"""Where a job's media come from, and the files they become."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.decoding import decode
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.sniff import media_kind
from cosmos_handler.media.sources import read_reference
from cosmos_handler.media.wanted import Wanted
from cosmos_handler.schemas.invocation import Invocation


@dataclass(frozen=True)
class Inbox:
    """Where a job's media come from and go to."""

    folder: Path
    uploads: Mapping[str, bytes]
    limits: MediaLimits
    numbers: Iterator[int]

    @classmethod
    def of(cls, invocation: Invocation, folder: Path, limits: MediaLimits) -> "Inbox":
        """The inbox of one request."""
        return cls(folder, invocation.uploads, limits, count())

    async def bring(self, reference: str, wanted: Mapping[str, Wanted], *, field: str) -> MediaFile:
        """One medium, decoded: what is wanted of it, by what it is ("image", "video").

        Raises MediaError, TooLarge or InvalidField naming the field.
        """
        data = self.uploads.get(reference)
        if data is None:
            data = read_reference(reference, field=field, limits=self.limits)
        # A medium of the wrong kind goes on as the other one: the decoder knows the sentence for it.
        plan = wanted.get(media_kind(data) or "") or next(iter(wanted.values()))
        number = next(self.numbers)
        source = self.folder / f"input-{number}"
        source.write_bytes(data)
        try:
            return await decode(source, self.folder / f"input-{number}.npy", plan, field=field, limits=self.limits)
        finally:
            source.unlink(missing_ok=True)
