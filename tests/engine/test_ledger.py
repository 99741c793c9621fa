"""The records of shared jobs: whoever writes when, a job ends once."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cosmos_handler.engine.job import State, new_job_id
from cosmos_handler.engine.ledger import Entry, Ledger
from cosmos_handler.engine.record import Record, read_record
from cosmos_handler.errors import JobsUnreachable, UnknownJob
from cosmos_handler.media.shelving import Changed
from tests.shelves import FakeShelf

LOST_SECONDS, KEPT_SECONDS = 60, 1000
RUNNING = Record(State.RUNNING, {"status": "in_progress"})


def ledger_of(shelf: FakeShelf) -> Ledger:
    return Ledger(
        shelf,
        lost_seconds=LOST_SECONDS,
        kept_seconds=KEPT_SECONDS,
        lost=lambda video: {**video, "status": "failed", "lost": True},
    )


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def ended(state: State = State.COMPLETED, *, expires_in: float = KEPT_SECONDS) -> Record:
    return Record(state, {"status": state.value}, expires_at=time.time() + expires_in, beat=1)


def test_a_job_without_its_instance_is_found_lost_once() -> None:
    async def work() -> None:
        shelf = FakeShelf()
        one, other = ledger_of(shelf), ledger_of(shelf)
        job_id = new_job_id()
        entry = await one.open(job_id, RUNNING)
        shelf.now = LOST_SECONDS
        assert (await other.read(job_id)).record == RUNNING
        shelf.now += 1
        shelf.between = lambda: one.read(job_id)  # both find it lost; one of them writes it
        found = (await other.read(job_id)).record
        assert (found.state, found.video) == (State.FAILED, {"status": "failed", "lost": True})
        assert found.expires_at is not None
        with pytest.raises(Changed):  # its instance was only slow
            await one.write(job_id, entry, ended())
        assert len(shelf.history[f"records/{job_id}.json"]) == 2

    run(work())


def test_an_instance_that_is_slow_but_not_too_slow_keeps_its_job() -> None:
    async def work() -> None:
        shelf = FakeShelf()
        ledger = ledger_of(shelf)
        job_id = new_job_id()
        entry = await ledger.open(job_id, RUNNING)
        shelf.now = LOST_SECONDS + 1

        async def beat() -> None:
            await ledger.write(job_id, entry, RUNNING.next())

        shelf.between = beat  # after it was read, before it is written lost
        assert (await ledger.read(job_id)).record == RUNNING.next()

    run(work())


def test_an_answer_that_was_lost_on_its_way_is_no_change() -> None:
    async def work() -> None:
        shelf = FakeShelf()
        ledger = ledger_of(shelf)
        shelf.loses_answers = True
        job_id = new_job_id()
        entry = await ledger.open(job_id, RUNNING)
        entry = await ledger.write(job_id, entry, RUNNING.next())
        assert (await ledger.read(job_id)).record == entry.record == RUNNING.next()

    run(work())


def test_what_was_kept_long_enough_goes_with_its_result() -> None:
    async def work() -> None:
        shelf = FakeShelf()
        ledger = ledger_of(shelf)
        old, new, lost = (f"job-20260101T00000{number}-0123456789ab" for number in range(3))
        place = ledger.result_place(f"s3://jobs/all/results/{old}.mp4", "video/mp4")
        assert place.is_ours
        assert not ledger.result_place("s3://theirs/one.mp4", "video/mp4").is_ours
        await shelf.put(f"results/{old}.mp4", "a video", replaces=None)
        await ledger.open(old, Record(State.COMPLETED, {}, result=place, expires_at=time.time() - 1))
        await ledger.open(new, ended())
        await ledger.open(lost, RUNNING)
        await shelf.put("records/not-a-job.json", "?", replaces=None)
        shelf.now = LOST_SECONDS + 1
        await ledger.sweep()
        assert await ledger.ids() == (new, lost)
        assert f"results/{old}.mp4" not in shelf.items
        assert [each.state for each in await ledger.read_all((old, new, lost))] == [State.COMPLETED, State.FAILED]
        with pytest.raises(UnknownJob):
            await ledger.read(old)

    run(work())


@pytest.mark.parametrize("job_id", ["", "x", "../results/x", "job-20260101T000000-0123456789AB", "é" * 500])
def test_what_is_no_id_is_not_looked_for(job_id: str) -> None:
    shelf = FakeShelf()
    shelf.is_away = True
    with pytest.raises(UnknownJob):
        run(ledger_of(shelf).read(job_id))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "{}", '{"state": "gone", "video": {}}', "[1]"])
def test_what_is_no_record_is_no_job(text: str) -> None:
    async def work() -> None:
        shelf = FakeShelf()
        job_id = new_job_id()
        await shelf.put(f"records/{job_id}.json", text, replaces=None)
        with pytest.raises(UnknownJob):
            await ledger_of(shelf).read(job_id)
        assert await ledger_of(shelf).read_all([job_id]) == ()

    run(work())


class OneJob(RuleBasedStateMachine):
    """An instance that runs a job, and others that look, cancel and forget, in any order and in between each other."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = FakeShelf()
        self.ledger = ledger_of(self.shelf)
        self.job_id = new_job_id()
        self.name = f"records/{self.job_id}.json"
        self.entry: Entry | None = None
        self.do(self.open())

    async def open(self) -> None:
        self.entry = await self.ledger.open(self.job_id, RUNNING)

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        with contextlib.suppress(UnknownJob, JobsUnreachable):
            asyncio.run(work)

    async def tell(self, record: Record) -> None:
        """As the job's own instance does."""
        if self.entry is None:
            return
        try:
            self.entry = await self.ledger.write(self.job_id, self.entry, record)
        except Changed:
            try:
                self.entry = await self.ledger.read(self.job_id)
            except UnknownJob:
                self.entry = None
                return
        if self.entry.record.state.is_terminal:
            self.entry = None

    async def beat(self) -> None:
        if self.entry is not None:
            await self.tell(self.entry.record.next())

    async def look(self) -> None:
        await self.ledger.read(self.job_id)

    async def cancel(self) -> None:
        await self.ledger.ask_to_cancel(self.job_id)

    async def forget(self) -> None:
        record = (await self.ledger.read(self.job_id)).record
        if record.state.is_terminal:
            await self.ledger.forget(self.job_id, record)

    @rule(seconds=st.sampled_from([1, 30, LOST_SECONDS + 1]))
    def time_goes_by(self, seconds: float) -> None:
        self.shelf.now += seconds

    @rule()
    def s3_comes_and_goes(self) -> None:
        self.shelf.is_away = not self.shelf.is_away

    @rule(first=st.sampled_from(["beat", "look", "cancel", "forget"]))
    def one(self, first: str) -> None:
        self.do(getattr(self, first)())

    @rule(
        first=st.sampled_from(["beat", "look", "cancel"]), second=st.sampled_from(["beat", "look", "cancel", "forget"])
    )
    def two_at_once(self, first: str, second: str) -> None:
        async def between() -> None:
            with contextlib.suppress(UnknownJob, JobsUnreachable):
                await getattr(self, second)()

        self.shelf.between = between
        self.do(getattr(self, first)())
        self.shelf.between = None

    @precondition(lambda self: self.entry is not None)
    @rule(state=st.sampled_from([State.COMPLETED, State.FAILED, State.CANCELLED]))
    def it_ends(self, state: State) -> None:
        assert self.entry is not None
        self.do(self.tell(self.entry.record.next(state=state, expires_at=time.time() + KEPT_SECONDS)))

    @invariant()
    def nothing_follows_an_end(self) -> None:
        states = [read_record(text).state for text in self.shelf.history[self.name]]
        assert not any(each.is_terminal for each in states[:-1]), states
        beats = [read_record(text).beat for text in self.shelf.history[self.name]]
        assert all(after > before for before, after in itertools.pairwise(beats))


TestOneJob = OneJob.TestCase
TestOneJob.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
