"""Having a result stored in S3 by a short-lived process, and finding out beforehand whether that can work."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from cosmos_handler.errors import DecoderFailed, InvalidField, MediaError, StoreFailed, TooLarge
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.errand import Errand
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.store_place import FORMS, object_for
from cosmos_handler.media.store_request import StoreRequest
from cosmos_handler.media.store_rules import StoreRules

_MAX_PROCESSES = 4
_TRY_SECONDS = 30.0
# For the process to start, to take back what it has begun, and to say so.
_GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class Order:
    """One result to be stored.

    field: the client's word for the place; None where it is the deployer's.
    presign_seconds: how long a link to it shall work; None: no link is asked for.
    """

    address: S3Address
    media_type: str
    job_id: str
    field: str | None = None
    presign_seconds: int | None = None


@dataclass(frozen=True)
class Stored:
    """What lies in S3 now. url: a link that whoever has it may follow; not for logs."""

    s3_uri: str
    size_bytes: int
    sha256: str
    url: str | None = field(default=None, repr=False)
    url_expires_seconds: int | None = None


@dataclass(frozen=True)
class _Answer:
    """What the process says."""

    size_bytes: int = 0
    sha256: str = ""
    url: str | None = None
    fault: Literal["place", "server"] | None = None
    problem: str = ""


_ANSWER: TypeAdapter[_Answer] = TypeAdapter(_Answer)


@dataclass(frozen=True)
class Storing:
    """Where results may go, and with which environment: the role's credentials."""

    rules: StoreRules = field(default_factory=StoreRules)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    processes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MAX_PROCESSES))

    def place(self, uri: str | None, *, field: str, job_id: str, suffix: str) -> S3Address | None:
        """The object that a result becomes; None where it is not stored. Raises InvalidField."""
        try:
            return object_for(uri, self.rules, job_id=job_id, suffix=suffix)
        except Refusal as refusal:
            raise InvalidField(field, refusal.problem, allowed=FORMS) from None

    async def try_out(self, order: Order) -> None:
        """Find out whether the result can be written, before it is made.

        Raises InvalidField for a place of the client's, and StoreFailed for what no client can mend.
        """
        answer = await self._run(order, None, _TRY_SECONDS)
        if answer.fault == "place" and order.field is not None:
            raise InvalidField(order.field, f"cannot be written to: {answer.problem}")
        _raise(answer, order)

    async def store(self, order: Order, path: Path) -> Stored:
        """Write the file. When cancelled, the process is gone before this returns. Raises StoreFailed."""
        answer = await self._run(order, path, self.rules.store_seconds)
        _raise(answer, order)
        expires = order.presign_seconds
        return Stored(order.address.uri, answer.size_bytes, answer.sha256, answer.url, expires)

    async def _run(self, order: Order, path: Path | None, seconds: float) -> _Answer:
        place, text = order.address, None if path is None else str(path)
        request = StoreRequest(
            place.bucket, place.key, text, order.media_type, order.job_id, order.presign_seconds, seconds, self.rules
        )
        name = order.field or "result"
        errand = Errand("cosmos_handler.media.store", self.environment, seconds + _GRACE_SECONDS, "storing", name)
        try:
            async with self.processes:
                return _ANSWER.validate_json(await errand.run(request.to_json()))
        except TimeoutError:
            raise StoreFailed(f"the result could not be stored within {seconds:g} seconds") from None
        except (MediaError, TooLarge, DecoderFailed, ValidationError):
            raise StoreFailed("the result could not be stored: the process for it gave no answer") from None


def _raise(answer: _Answer, order: Order) -> None:
    if answer.fault is not None:
        place = "" if order.field is not None else " under COSMOS_OUTPUT_S3_URI"
        raise StoreFailed(f"the result cannot be stored{place}: {answer.problem}")
