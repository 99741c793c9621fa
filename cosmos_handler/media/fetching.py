"""Having a medium fetched from the address that a client wrote: refused at once, or by a short-lived process."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from cosmos_handler.errors import InvalidField, MediaError, RequestError, TooLarge
from cosmos_handler.media.address import read_address
from cosmos_handler.media.errand import Errand
from cosmos_handler.media.fetch import FetchRequest
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.rules import FetchRules

_MAX_FETCHERS = 8


@dataclass(frozen=True)
class _Answer:
    """Nothing, or a Refusal as it comes over."""

    error: Literal["media", "too_large", "address"] | None = None
    problem: str = ""


_ANSWER: TypeAdapter[_Answer] = TypeAdapter(_Answer)


@dataclass(frozen=True)
class Fetching:
    """What may be fetched, and with which environment: the role's credentials, which no other process gets."""

    rules: FetchRules = field(default_factory=FetchRules)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    fetchers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MAX_FETCHERS))

    async def fetch(self, address: str, output: Path, *, field: str, max_bytes: int) -> None:
        """Write what lies at an address to `output`. When cancelled, the process is gone before this returns.

        Raises InvalidField for an address that is not allowed, MediaError for what cannot be fetched, TooLarge, and
        DecoderFailed for a fault of ours. None of them holds the address, which may be signed.
        """
        try:
            read_address(address, self.rules)
        except Refusal as refusal:
            raise self._error(refusal.reason, refusal.problem, field) from None
        request = FetchRequest(address, str(output), max_bytes, self.rules)
        seconds = self.rules.fetch_seconds
        errand = Errand("cosmos_handler.media.fetch", self.environment, seconds, "fetching", field)
        try:
            async with self.fetchers:
                answer = _ANSWER.validate_json(await errand.run(request.to_json()))
        except TimeoutError:
            raise MediaError(field, f"cannot be fetched within {seconds:g} seconds") from None
        except ValidationError:
            raise errand.no_answer() from None
        if answer.error is not None:
            raise self._error(answer.error, answer.problem, field)

    def forms(self) -> str:
        """What a reference may look like here, for errors."""
        inline = ["a data: URL with base64", "plain base64", "the name of a multipart part"]
        schemes = (("https://", self.rules.hosts), ("s3://", self.rules.buckets), ("file://", self.rules.folder))
        *first, last = inline + [f"an {scheme} address" for scheme, is_open in schemes if is_open]
        return f"{', '.join(first)}, or {last}"

    def _error(self, reason: str, problem: str, field: str) -> RequestError:
        if reason == "address":
            return InvalidField(field, problem, allowed=self.forms())
        return TooLarge(problem, field=field) if reason == "too_large" else MediaError(field, problem)
