"""Small objects under one prefix of S3 that several instances read and write, through one helper process."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from cosmos_handler.errors import JobsUnreachable, UnknownJob
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.errand import started
from cosmos_handler.media.store_rules import StoreRules
from cosmos_handler.redaction import harmless

log = logging.getLogger(__name__)

_MAX_ANSWER_BYTES = 64 * 2**20  # a list of as many jobs as a day can have
_GRACE_SECONDS = 10.0
_END_SECONDS = 2.0


class Changed(Exception):
    """What should have been replaced is not what it was when it was read."""


class Unusable(Exception):
    """The place itself is wrong, which only the deployer can mend."""


@dataclass(frozen=True)
class Item:
    """One object. etag: what it is replaced by. age_seconds: since it was written, by S3's clock."""

    text: str
    etag: str
    age_seconds: float


@dataclass
class _Helper:
    """The process while it lives. waiting: those who want an answer, by the number of their request."""

    process: asyncio.subprocess.Process
    waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    listening: tuple[asyncio.Task[None], ...] = ()


class Shelf:
    """The prefix. Every method raises JobsUnreachable where S3 does not do what is asked."""

    def __init__(self, prefix: S3Address, rules: StoreRules, environment: Mapping[str, str]) -> None:
        self._prefix = prefix
        self._rules = rules
        self._environment = environment
        self._helper: _Helper | None = None
        self._starting = asyncio.Lock()
        self._numbers = count()

    @property
    def uri(self) -> str:
        """The prefix as it is written; ends in a slash."""
        return self._prefix.uri

    async def get(self, name: str) -> Item | None:
        """The object of that name; None where there is none."""
        answer = await self._ask("get", name=name)
        if answer.get("fault") == "missing":
            return None
        return Item(_good(answer)["text"], answer["etag"], answer["age_seconds"])

    async def put(self, name: str, text: str, *, replaces: str | None) -> str:
        """Write it over what has that ETag, or where nothing is; its new ETag. Raises Changed where that is not so."""
        answer = await self._ask("put", name=name, text=text, etag=replaces)
        etag: str = _good(answer)["etag"]
        return etag

    async def drop(self, *names: str) -> None:
        """Delete them; what is not there is not missed."""
        _good(await self._ask("drop", names=names))

    async def names(self, under: str) -> tuple[tuple[str, float], ...]:
        """Every name that begins so, in order, and how many seconds ago it was written."""
        return tuple((name, age) for name, age in _good(await self._ask("names", under=under))["listed"])

    async def fetch(self, place: S3Address, path: Path) -> None:
        """Write an object, which may lie elsewhere, to a file. Raises UnknownJob where it is there no more."""
        seconds = self._rules.store_seconds
        answer = await self._ask("fetch", seconds=seconds, bucket=place.bucket, key=place.key, path=str(path))
        if answer.get("fault") == "missing":
            raise UnknownJob("the result of that job is not in S3 any more")
        _good(answer)

    async def try_out(self, name: str) -> None:
        """Do once all that will be needed. Raises Unusable where waiting does not help."""
        answer = await self._ask("try", name=name)
        if answer.get("fault") == "place":
            raise Unusable(answer["problem"])
        _good(answer)

    async def close(self) -> None:
        """End the process."""
        helper, self._helper = self._helper, None
        if helper is None:
            return
        if helper.process.stdin is not None:
            helper.process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await helper.process.wait()
        except TimeoutError:
            helper.process.kill()
        await asyncio.wait(helper.listening)

    async def _ask(self, what: str, *, seconds: float | None = None, **how: Any) -> dict[str, Any]:
        helper = await self._living()
        number = next(self._numbers)
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        helper.waiting[number] = answered
        try:
            # As long as S3's client may take over all its attempts, and the others before it in the process.
            async with asyncio.timeout(seconds or 4 * self._rules.connect_seconds + _GRACE_SECONDS):
                _tell(helper.process, {"number": number, "what": what, **how})
                return await answered
        except TimeoutError:
            raise JobsUnreachable("the jobs in S3 cannot be reached in time", retry_after_seconds=10) from None
        finally:
            helper.waiting.pop(number, None)

    async def _living(self) -> _Helper:
        async with self._starting:
            if self._helper is None:
                self._helper = await self._start()
            return self._helper

    async def _start(self) -> _Helper:
        process = await started("cosmos_handler.media.shelf", self._environment, most_line_bytes=_MAX_ANSWER_BYTES)
        _tell(process, {"bucket": self._prefix.bucket, "prefix": self._prefix.key, "rules": asdict(self._rules)})
        helper = _Helper(process)
        hearing = (asyncio.create_task(self._hear(helper)), asyncio.create_task(_complaints(process)))
        helper.listening = hearing
        return helper

    async def _hear(self, helper: _Helper) -> None:
        """Hand the answers out, until the process has ended; who still waits then is told so."""
        if helper.process.stdout is None:
            raise AssertionError("the process was started without pipes: this is a bug")
        while line := await helper.process.stdout.readline():
            answer = json.loads(line)
            waiting = helper.waiting.get(answer["number"])
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        if self._helper is helper:
            log.error("the process that keeps jobs in S3 has ended; the next request starts another")
            self._helper = None
        for waiting in helper.waiting.values():
            if not waiting.done():
                waiting.set_result({"fault": "server", "problem": "the process that keeps them has ended"})


def _tell(process: asyncio.subprocess.Process, said: Mapping[str, Any]) -> None:
    if process.stdin is None:
        raise AssertionError("the process was started without pipes: this is a bug")
    process.stdin.write(json.dumps(said).encode() + b"\n")


async def _complaints(process: asyncio.subprocess.Process) -> None:
    """What the process says against itself goes to the log."""
    if process.stderr is None:
        raise AssertionError("the process was started without pipes: this is a bug")
    while line := await process.stderr.readline():
        log.error("keeping jobs in S3: %s", harmless(line.decode(errors="replace")).rstrip())


def _good(answer: dict[str, Any]) -> dict[str, Any]:
    fault = answer.get("fault")
    if fault == "changed":
        raise Changed
    if fault is not None:
        problem = answer.get("problem", "S3 has it no more")
        raise JobsUnreachable(f"the jobs in S3 cannot be reached: {problem}", retry_after_seconds=10)
    return answer
