"""What an instance tells the ledger of its own jobs, and does of what the ledger says in return."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.job import State
from cosmos_handler.engine.jobstore import JobStore, KeepLimits, KeptJob
from cosmos_handler.engine.ledger import Ledger
from cosmos_handler.engine.sharing import Sharing, Told
from cosmos_handler.errors import JobFailed, JobsUnreachable, UnknownJob
from cosmos_handler.schemas.invocation import parse
from tests.fakes import IdleEngine, done
from tests.shelves import FakeShelf


class Instance:
    """One of several servers over the same shelf, without a model process."""

    def __init__(self, folder: Path, shelf: FakeShelf) -> None:
        self.engine = IdleEngine(Backlog(9), folder)
        self.store = JobStore(self.engine, KeepLimits(60, 10**6))
        self.ledger = self.ledger_on(shelf)
        self.sharing = Sharing(self.store, self.ledger, _describe, beat_seconds=0.02)

    def ledger_on(self, shelf: FakeShelf) -> Ledger:
        lost = {"status": "failed", "lost": True}
        return Ledger(shelf, lost_seconds=60, kept_seconds=60, lost=lambda video: {**video, **lost})

    async def create(self) -> KeptJob:
        told = await self.sharing.create(parse({"prompt": "hello"}, models=self.engine.served), "mp4")
        return self.store.get(told.video["id"])


def _describe(kept: KeptJob) -> Told:
    return Told({"id": kept.job.id, "status": kept.job.state.value}, {"X": "y"} if kept.job.done else {})


async def until(so: Callable[[], bool]) -> None:
    while not so():  # noqa: ASYNC110 - what happens in the room's own tasks tells nobody
        await asyncio.sleep(0.001)


async def until_state(instance: Instance, job_id: str, state: State) -> None:
    while (await instance.sharing.get(job_id)).state is not state:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.001)


def run(work: Callable[[Instance, Instance, FakeShelf], Coroutine[Any, Any, None]], folder: Path) -> None:
    async def bounded() -> None:
        shelf = FakeShelf()
        one, other = Instance(folder, shelf), Instance(folder, shelf)
        async with asyncio.timeout(20):
            await work(one, other, shelf)
            await one.sharing.close(1)
            await other.sharing.close(1)

    asyncio.run(bounded())


def test_a_job_is_told_until_its_end_and_then_is_everybody_s(tmp_path: Path) -> None:
    async def work(one: Instance, other: Instance, shelf: FakeShelf) -> None:
        kept = await one.create()
        job = kept.job
        assert (await other.sharing.get(job.id)).state is State.QUEUED
        job.start()
        assert (await one.sharing.get(job.id)).state is State.RUNNING  # its own it knows as it is
        await until_state(other, job.id, State.RUNNING)
        job.complete(done(job.id))
        assert (await one.sharing.get(job.id)).state is State.COMPLETED
        record = (await other.ledger.read(job.id)).record
        assert (record.state, dict(record.headers)) == (State.COMPLETED, {"X": "y"})
        assert record.expires_at is not None
        with pytest.raises(UnknownJob):
            one.store.get(job.id)
        assert await other.ledger.ids() == (job.id,)
        await other.sharing.delete(job.id)
        for each in (one, other):
            with pytest.raises(UnknownJob):
                await each.sharing.get(job.id)

    run(work, tmp_path)


def test_another_instance_cancels_it(tmp_path: Path) -> None:
    async def work(one: Instance, other: Instance, shelf: FakeShelf) -> None:
        job = (await one.create()).job
        assert (await other.sharing.delete(job.id)).state is State.QUEUED
        await until(lambda: job.state is State.CANCELLED)
        await until_state(other, job.id, State.CANCELLED)
        own = (await one.create()).job
        assert (await one.sharing.delete(own.id)).state is State.CANCELLED
        await until_state(other, own.id, State.CANCELLED)

    run(work, tmp_path)


@pytest.mark.parametrize("is_forgotten", [False, True])
@pytest.mark.parametrize("is_complete", [False, True])
def test_one_that_was_found_lost_is_given_up(tmp_path: Path, is_forgotten: bool, is_complete: bool) -> None:
    async def work(one: Instance, other: Instance, shelf: FakeShelf) -> None:
        job = (await one.create()).job
        job.start()
        shelf.is_away = True
        await asyncio.sleep(0.1)
        assert job.state is State.RUNNING  # it goes on while S3 is out of reach
        with pytest.raises(JobsUnreachable):
            await one.sharing.get(job.id)  # what it was last told there may be over
        if is_complete:
            job.complete(done(job.id))
        theirs = shelf.twin()
        theirs.is_away, theirs.now = False, 61
        ledger = other.ledger_on(theirs)
        record = (await ledger.read(job.id)).record
        assert record.state is State.FAILED
        if is_forgotten:
            await ledger.forget(job.id, record)
        shelf.is_away = False
        await until(lambda: all(kept.job is not job for kept in one.store.all()) or job.state is State.CANCELLED)
        assert job.state is (State.COMPLETED if is_complete else State.CANCELLED)
        assert not any('"completed"' in text for text in shelf.history[f"records/{job.id}.json"])

    run(work, tmp_path)


def test_an_end_waits_for_s3(tmp_path: Path) -> None:
    async def work(one: Instance, other: Instance, shelf: FakeShelf) -> None:
        job = (await one.create()).job
        job.start()
        shelf.is_away = True
        job.fail(JobFailed("a fault"))
        await asyncio.sleep(0.1)
        shelf.is_away = False
        await until_state(other, job.id, State.FAILED)

    run(work, tmp_path)


def test_a_job_that_nobody_could_be_told_of_is_taken_back(tmp_path: Path) -> None:
    async def work(one: Instance, other: Instance, shelf: FakeShelf) -> None:
        shelf.is_away = True
        with pytest.raises(JobsUnreachable):
            await one.create()
        shelf.is_away = False
        assert [kept.job.state for kept in one.store.all()] == [State.CANCELLED]
        assert await other.ledger.ids() == ()

    run(work, tmp_path)


def test_the_end_of_the_server_is_told(tmp_path: Path) -> None:
    async def work(one: Instance, other: Instance, shelf: FakeShelf) -> None:
        job = (await one.create()).job
        await one.sharing.close(0.05)
        assert (await other.sharing.get(job.id)).state is State.FAILED

    run(work, tmp_path)
