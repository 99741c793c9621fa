"""Files and objects of S3 by one address, so that a desk without S3 will do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

_PIECE_BYTES = 2**20


class TooLarge(Exception):
    """More bytes than are taken."""


class Objects:
    """`s3://bucket/key` by boto3's usual environment; anything else is a path of this machine."""

    def __init__(self, s3: Any = None) -> None:
        self._s3 = s3

    @property
    def s3(self) -> Any:
        """The client, made when the first address needs it."""
        if self._s3 is None:
            self._s3 = boto3.client("s3")
        return self._s3

    def fetch(self, address: str, target: Path, *, most_bytes: int | None = None) -> None:
        """Write what lies there to a file, piece by piece. Raises TooLarge, botocore's errors and OSError."""
        with self._opened(address) as (source, size):
            if most_bytes is not None and size > most_bytes:
                raise TooLarge(f"{address} has {size} bytes; {most_bytes} are taken")
            with target.open("wb") as file:
                shutil.copyfileobj(source, file, _PIECE_BYTES)

    @contextmanager
    def _opened(self, address: str) -> Iterator[tuple[Any, int]]:
        """What lies there, to be read, and how many bytes it has."""
        if address.startswith("s3://"):
            bucket, key = _parts(address)
            found = self.s3.get_object(Bucket=bucket, Key=key)
            with found["Body"] as body:
                yield body, found["ContentLength"]
        else:
            with Path(address).open("rb") as file:
                yield file, Path(address).stat().st_size

    def store(self, source: Path, address: str, content_type: str | None = None) -> None:
        """Put a file there."""
        if address.startswith("s3://"):
            extra = {"ContentType": content_type} if content_type else None
            self.s3.upload_file(str(source), *_parts(address), ExtraArgs=extra)
        else:
            Path(address).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, address)


def _parts(address: str) -> tuple[str, str]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key
