"""What every instance knows of a shared job."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cosmos_handler.engine.job import State
from cosmos_handler.errors import UnknownJob
from cosmos_handler.media.address import S3Address


@dataclass(frozen=True)
class ResultPlace:
    """Where the result of a complete job lies. is_ours: under the jobs' own prefix, where it goes with the record."""

    bucket: str
    key: str
    media_type: str
    is_ours: bool

    @property
    def address(self) -> S3Address:
        """The object."""
        return S3Address(self.bucket, self.key)


@dataclass(frozen=True)
class Record:
    """One job as its own instance last told of it.

    video: as clients see it. headers: that its result is answered with. expires_at: None while it has not ended.
    beat: goes up with every writing, so that no two are alike and an ETag means one of them.
    """

    state: State
    video: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    result: ResultPlace | None = None
    expires_at: float | None = None
    cancel_requested: bool = False
    beat: int = 0

    def next(self, **changes: Any) -> "Record":
        """What is written over it."""
        return replace(self, beat=self.beat + 1, **changes)

    def to_json(self) -> str:
        """As it lies in S3."""
        return _RECORD.dump_json(self).decode()


_RECORD: TypeAdapter[Record] = TypeAdapter(Record)


def read_record(text: str) -> Record:
    """What to_json made. Raises UnknownJob where it is something else."""
    try:
        return _RECORD.validate_json(text)
    except ValidationError:
        raise UnknownJob("what has that id is no record of a job") from None
