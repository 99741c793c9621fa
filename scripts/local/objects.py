"""Files and objects of S3 by one address, so that a desk without S3 will do."""

from pathlib import Path
from typing import Any

import boto3


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

    def fetch(self, address: str, target: Path) -> None:
        """Write what lies there to a file. Raises botocore's errors and OSError."""
        if address.startswith("s3://"):
            self.s3.download_file(*_parts(address), str(target))
        else:
            target.write_bytes(Path(address).read_bytes())

    def store(self, source: Path, address: str, content_type: str | None = None) -> None:
        """Put a file there."""
        if address.startswith("s3://"):
            extra = {"ContentType": content_type} if content_type else None
            self.s3.upload_file(str(source), *_parts(address), ExtraArgs=extra)
        else:
            Path(address).parent.mkdir(parents=True, exist_ok=True)
            Path(address).write_bytes(source.read_bytes())


def _parts(address: str) -> tuple[str, str]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key
