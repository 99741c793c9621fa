"""The jobs of one body: in the line in their order, and answered in it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos_handler.api import several
from cosmos_handler.api.several import Entry, _Series
from cosmos_handler.errors import BacklogFull, InvalidField
from cosmos_handler.schemas.invocation import parse
from cosmos_handler.schemas.served import Served

REASON = Served("reason", (), "reason2", ("reasoner",))


class Caller:
    """Takes longer over a job the earlier it stands, has no place for some at first, and ends the later ones first."""

    def __init__(self, count: int, full: tuple[int, ...] = ()) -> None:
        self.count, self.full = count, list(full)
        self.engine = SimpleNamespace(max_running=count)
        self.spool_dir = None
        self.accepted: list[int] = []

    @asynccontextmanager
    async def submit(self, invocation: Any, encoding: str, *, index: int) -> AsyncIterator[Any]:
        await asyncio.sleep(0.01 * (self.count - index))
        if index in self.full:
            self.full.remove(index)
            raise BacklogFull("all places are taken", retry_after_seconds=1)
        self.accepted.append(index)
        yield Job(index, self.count)


class Job:
    def __init__(self, index: int, count: int) -> None:
        self.id, self._seconds = str(index), 0.01 * (count - index)

    async def result(self) -> str:
        await asyncio.sleep(self._seconds)
        return self.id


def answers(caller: Any, bad: tuple[int, ...] = ()) -> list[Any]:
    face = SimpleNamespace(whole=lambda job, done: {"done": done})
    asked: Any = (parse({"prompt": "Why?"}, models=[REASON]), face)
    entries = [
        Entry(InvalidField("prompt", "is missing") if index in bad else asked, {}) for index in range(caller.count)
    ]

    async def collected() -> list[Any]:
        return [json.loads(told or b"") async for told in _Series(caller, entries).answers()]

    return asyncio.run(collected())


def test_they_come_into_the_line_in_their_order() -> None:
    caller = Caller(5)
    assert answers(caller) == [{"done": str(index)} for index in range(5)]
    assert caller.accepted == [0, 1, 2, 3, 4]


def test_one_that_finds_no_place_is_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "_RETRY_SECONDS", 0.01)
    caller = Caller(4, full=(1, 1, 2))
    assert answers(caller) == [{"done": str(index)} for index in range(4)]
    assert caller.accepted == [0, 1, 2, 3]


def test_an_error_keeps_its_place_and_costs_the_others_nothing() -> None:
    caller = Caller(3, full=())
    told = answers(caller, bad=(1,))
    assert [told[0], told[2]] == [{"done": "0"}, {"done": "2"}]
    assert told[1]["error"]["field"] == "prompt"
    assert caller.accepted == [0, 2]
