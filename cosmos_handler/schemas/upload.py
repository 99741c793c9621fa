"""A file that came with a request: a small one in memory, any other on the disk."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Upload:
    """place: its bytes, or the file they lie in, which goes with the request: whoever needs it longer links it."""

    place: bytes | Path
    size_bytes: int

    @classmethod
    def of(cls, data: bytes) -> "Upload":
        """One that stays in memory."""
        return cls(data, len(data))

    def head(self, most_bytes: int) -> bytes:
        """Its first bytes."""
        if isinstance(self.place, bytes):
            return self.place[:most_bytes]
        with self.place.open("rb") as file:
            return file.read(most_bytes)

    def digest(self) -> bytes:
        """SHA-256 of all of it, of which never more than a piece is held."""
        if isinstance(self.place, bytes):
            return hashlib.sha256(self.place).digest()
        with self.place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    def read(self) -> bytes:
        """All of it. Only for what is known to be small."""
        return self.place if isinstance(self.place, bytes) else self.place.read_bytes()

    def link(self, target: Path) -> None:
        """Make it a file of that name on the same disk, which lasts as long as it is kept there; never a copy."""
        if isinstance(self.place, bytes):
            target.write_bytes(self.place)
        else:
            os.link(self.place, target)
