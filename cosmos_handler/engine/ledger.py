"""The records of shared jobs in S3: each is replaced only as it was read, so a job ends once whoever writes."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmos_handler.engine.job import State
from cosmos_handler.engine.record import Record, ResultPlace, read_record
from cosmos_handler.errors import JobsUnreachable, UnknownJob
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.shelving import Changed, Shelf

log = logging.getLogger(__name__)

RECORDS, RESULTS = "records/", "results/"
_ID = re.compile(r"job-\d{8}T\d{6}-[0-9a-f]{12}")
# Its own instance writes a record every few seconds: losing against it so often in a row is no accident.
_ATTEMPTS = 5
_AT_A_TIME = 8


@dataclass(frozen=True)
class Entry:
    """A record as it was read or written, and what it is replaced by."""

    record: Record
    etag: str


class Ledger:
    """The jobs of all instances. Its methods raise JobsUnreachable where S3 does not do what is asked.

    lost_seconds: a job that has not ended and of which nothing was written for so long has lost its instance.
    kept_seconds: how long one that has ended is kept.
    lost: how clients see that, from how they saw it before.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        lost_seconds: float,
        kept_seconds: float,
        lost: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> None:
        self._shelf = shelf
        self._lost_seconds = lost_seconds
        self._kept_seconds = kept_seconds
        self._lost = lost

    async def open(self, job_id: str, record: Record) -> Entry:
        """The first word of a new job."""
        return await self._put(job_id, record, None)

    async def write(self, job_id: str, entry: Entry, record: Record) -> Entry:
        """The next word on it. Raises Changed where another instance has written since, or deleted it."""
        return await self._put(job_id, record, entry.etag)

    async def read(self, job_id: str) -> Entry:
        """The job as it stands, found lost where it is. Raises UnknownJob, also for one that was kept long enough."""
        for _ in range(_ATTEMPTS):
            entry, age_seconds = await self._get(job_id)
            record = entry.record
            if record.state.is_terminal:
                if record.expires_at is not None and record.expires_at <= time.time():
                    await self.forget(job_id, record)
                    raise _unknown(job_id)
                return entry
            if age_seconds <= self._lost_seconds:
                return entry
            try:
                until = time.time() + self._kept_seconds
                gone = record.next(state=State.FAILED, video=self._lost(record.video), expires_at=until)
                entry = await self.write(job_id, entry, gone)
            except Changed:
                continue
            log.error("job %s failed: nothing was heard of its instance for %.0f s", job_id, age_seconds)
            return entry
        raise _contended(job_id)

    async def ask_to_cancel(self, job_id: str) -> Record:
        """Have the instance of a job stop it; nothing happens to one that has ended. Raises UnknownJob."""
        for _ in range(_ATTEMPTS):
            entry = await self.read(job_id)
            if entry.record.state.is_terminal or entry.record.cancel_requested:
                return entry.record
            try:
                return (await self.write(job_id, entry, entry.record.next(cancel_requested=True))).record
            except Changed:
                continue
        raise _contended(job_id)

    async def forget(self, job_id: str, record: Record) -> None:
        """Delete it, and its result where that lies with the records."""
        if record.result is not None and record.result.is_ours:
            await self.drop_result(record.result)
        await self._shelf.drop(f"{RECORDS}{job_id}.json")

    async def drop_result(self, place: ResultPlace) -> None:
        """Delete a result that lies with the records."""
        await self._shelf.drop(f"{RESULTS}{place.key.rpartition('/')[2]}")

    async def fetch(self, place: ResultPlace, path: Path) -> None:
        """Write a result to a file."""
        await self._shelf.fetch(place.address, path)

    async def ids(self) -> tuple[str, ...]:
        """Every job, oldest first."""
        return tuple(job_id for job_id, _ in await self._listed())

    async def read_all(self, job_ids: Collection[str]) -> tuple[Record, ...]:
        """Those of them that are still there."""
        gate = asyncio.Semaphore(_AT_A_TIME)

        async def one(job_id: str) -> Record | None:
            async with gate:
                try:
                    return (await self.read(job_id)).record
                except UnknownJob:
                    return None

        found = await asyncio.gather(*map(one, job_ids))
        return tuple(record for record in found if record is not None)

    async def sweep(self) -> None:
        """Read what nobody has written for long: that ends what is lost, and forgets what was kept long enough."""
        seconds = min(self._lost_seconds, self._kept_seconds)
        await self.read_all([job_id for job_id, age_seconds in await self._listed() if age_seconds > seconds])

    def results_uri(self) -> str:
        """The prefix for results that nobody names a place for."""
        return f"{self._shelf.uri}{RESULTS}"

    def result_place(self, s3_uri: str, media_type: str) -> ResultPlace:
        """Where a stored result lies."""
        place = S3Address.of(s3_uri)
        return ResultPlace(place.bucket, place.key, media_type, is_ours=s3_uri.startswith(self.results_uri()))

    async def _listed(self) -> list[tuple[str, float]]:
        found = await self._shelf.names(RECORDS)
        listed = [(name[len(RECORDS) :].removesuffix(".json"), age_seconds) for name, age_seconds in found]
        return [(job_id, age_seconds) for job_id, age_seconds in listed if _ID.fullmatch(job_id)]

    async def _get(self, job_id: str) -> tuple[Entry, float]:
        item = await self._shelf.get(f"{RECORDS}{job_id}.json") if _ID.fullmatch(job_id) else None
        if item is None:
            raise _unknown(job_id)
        return Entry(read_record(item.text), item.etag), item.age_seconds

    async def _put(self, job_id: str, record: Record, etag: str | None) -> Entry:
        name, text = f"{RECORDS}{job_id}.json", record.to_json()
        try:
            return Entry(record, await self._shelf.put(name, text, replaces=etag))
        except Changed:
            # S3's client tries again when an answer is lost, and then meets what it has written itself.
            item = await self._shelf.get(name)
            if item is not None and item.text == text:
                return Entry(record, item.etag)
            raise


def _unknown(job_id: str) -> UnknownJob:
    return UnknownJob(f"there is no job {job_id[:100]!r}, or not any more")


def _contended(job_id: str) -> JobsUnreachable:
    return JobsUnreachable(f"the record of job {job_id} changes faster than it can be read", retry_after_seconds=1)
