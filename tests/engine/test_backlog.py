"""Permits are bounded and given back once; the line is first come, first served, and loses nothing."""

import asyncio
import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cosmos_handler.engine.backlog import Backlog, Permit
from cosmos_handler.engine.job import Job
from cosmos_handler.errors import BacklogFull
from tests.fakes import job

LIMIT = 3


def kind(each: Job, kinds: int) -> int:
    return int(each.id.removeprefix("job-")) // 2 % kinds


class Line(RuleBasedStateMachine):
    """Permits and jobs in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog(LIMIT)
        self.permits: list[Permit] = []
        self.closed: list[Permit] = []
        self.waiting: list[Job] = []
        self.count = 0

    @rule()
    def acquire(self) -> None:
        if len(self.permits) < LIMIT:
            self.permits.append(self.backlog.acquire())
        else:
            with pytest.raises(BacklogFull):
                self.backlog.acquire()

    @precondition(lambda self: self.permits)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        permit = self.permits.pop(data.draw(st.integers(0, len(self.permits) - 1)))
        permit.close()
        self.closed.append(permit)

    @precondition(lambda self: self.closed)
    @rule()
    def give_back_twice(self) -> None:
        self.closed[-1].close()

    @rule()
    def put(self) -> None:
        self.count += 1
        each = job(job_id=f"job-{self.count}")
        self.backlog.put(each)
        self.waiting.append(each)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        each = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        assert self.backlog.withdraw(each)
        assert not self.backlog.withdraw(each)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def end_while_waiting(self, data: st.DataObject) -> None:
        each = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        each.cancel()

    @rule()
    def take(self) -> None:
        expected = self.waiting.pop(0) if self.waiting else None
        assert self.backlog.take() is expected

    @rule(kinds=st.integers(1, 3), most=st.integers(1, 4))
    def look_at_those_that_are_alike(self, kinds: int, most: int) -> None:
        alike = list(itertools.takewhile(lambda job: kind(job, kinds) == kind(self.waiting[0], kinds), self.waiting))
        found = self.backlog.first_alike(lambda one, other: kind(one, kinds) == kind(other, kinds), most=most)
        assert found == tuple(alike[:most])

    @rule(data=st.data())
    def take_some(self, data: st.DataObject) -> None:
        wanted = data.draw(st.lists(st.sampled_from(self.waiting), unique_by=id)) if self.waiting else []
        expected = tuple(itertools.takewhile(lambda job: job in wanted, self.waiting))
        self.waiting = self.waiting[len(expected) :]
        assert self.backlog.take_first_of([*wanted, job()]) == expected

    @invariant()
    def counts(self) -> None:
        assert self.backlog.taken == len(self.permits)


TestLine = Line.TestCase


async def _given_up() -> Job | None:
    backlog = Backlog(1)
    waiting = asyncio.create_task(backlog.wait())
    await asyncio.sleep(0)
    each = job()
    backlog.put(each)
    waiting.cancel()
    await asyncio.wait({waiting})
    await asyncio.wait_for(backlog.wait(), 1)
    taken = backlog.take()
    assert taken is each
    return taken


def test_giving_up_waiting_loses_no_job() -> None:
    assert asyncio.run(_given_up()) is not None
