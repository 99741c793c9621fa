"""What the store keeps, and for how long."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from cosmos_handler.engine import jobstore as room
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.job import State
from cosmos_handler.engine.jobstore import JobStore, KeepLimits, KeptJob
from cosmos_handler.errors import BacklogFull, JobFailed, Stopping, UnknownJob
from cosmos_handler.messages.results import VideoOutput
from cosmos_handler.messages.wire import Done
from cosmos_handler.schemas.invocation import parse
from tests.fakes import REPORT, IdleEngine


@pytest.fixture
def backlog() -> Backlog:
    return Backlog(9)


@pytest.fixture
def engine(backlog: Backlog, tmp_path: Path) -> Engine:
    return IdleEngine(backlog, tmp_path)


async def until(so: Callable[[], bool]) -> None:
    """What happens in the store's own tasks tells nobody."""
    while not so():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def make(store: JobStore, engine: Engine) -> KeptJob:
    return await store.create(parse({"prompt": "hello"}, models=engine.served), "mp4")


async def finish(kept: KeptJob, size_bytes: int) -> None:
    """End it as a model process would, with a result of that size and an input beside it."""
    path = kept.job.folder / "video.mp4"
    path.write_bytes(b"x" * size_bytes)
    (kept.job.folder / "input-0.npy").write_bytes(b"y" * 1000)
    video = VideoOutput(
        path=str(path), media_type="video/mp4", num_frames=1, num_frames_generated=1, height=64, width=64, fps=16
    )
    kept.job.start()
    kept.job.complete(Done(job_id=kept.job.id, output=video, report=REPORT))
    await until(lambda: kept.size_bytes is not None)


def run(work: Coroutine[None, None, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(bounded())


def test_a_result_stays_without_what_it_was_made_of(engine: Engine, backlog: Backlog) -> None:
    async def work() -> None:
        store = JobStore(engine, KeepLimits(60, 10**6))
        kept = await make(store, engine)
        assert kept.expires_at is None
        await finish(kept, 100)
        assert kept.size_bytes == 100
        assert [path.name for path in kept.job.folder.iterdir()] == ["video.mp4"]
        assert kept.expires_at == (kept.job.ended_at or 0) + 60
        assert store.get(kept.job.id) is kept
        assert backlog.taken == 0  # a kept result holds no place
        await store.close()

    run(work())


def test_its_time(engine: Engine) -> None:
    async def work() -> None:
        store = JobStore(engine, KeepLimits(0.05, 10**6))
        kept = await make(store, engine)
        await finish(kept, 1)
        await until(lambda: not (store.all() or kept.job.folder.exists()))
        with pytest.raises(UnknownJob):
            store.get(kept.job.id)

    run(work())


def test_its_room(engine: Engine) -> None:
    async def work() -> None:
        store = JobStore(engine, KeepLimits(60, 100))
        first, second, third = [await make(store, engine) for _ in range(3)]
        await finish(second, 60)
        await finish(first, 40)
        assert store.all() == (first, second, third)  # exactly full
        await finish(third, 61)
        await until(lambda: len(store.all()) == 1)
        assert store.all() == (third,)  # neither of the others fits beside it
        large = await make(store, engine)
        await finish(large, 500)
        await until(lambda: third not in store.all())
        assert store.all() == (large,)  # the newest stays
        await store.close()

    run(work())


def test_failures_are_not_remembered_for_ever(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_MAX_ENDED_JOBS", 2)

    async def work() -> None:
        store = JobStore(engine, KeepLimits(60, 10**6))
        made = [await make(store, engine) for _ in range(4)]
        for kept in made[:3]:
            kept.job.fail(JobFailed("no"))
            await until(lambda each=kept: each.size_bytes is not None)  # type: ignore[misc]
        await until(lambda: len(store.all()) == 3)
        assert store.all() == tuple(made[1:])  # one that waits counts for nothing
        await store.close()

    run(work())


def test_delete_cancels_first_and_forgets_then(engine: Engine) -> None:
    async def work() -> None:
        store = JobStore(engine, KeepLimits(60, 10**6))
        kept = await make(store, engine)
        assert engine.queue_position(kept.job) == 1
        await store.delete(kept.job.id)
        assert kept.job.state is State.CANCELLED
        assert engine.queue_position(kept.job) is None
        assert store.get(kept.job.id) is kept
        await store.delete(kept.job.id)
        assert store.all() == ()
        await until(lambda: not kept.job.folder.exists())

    run(work())


def test_the_end_of_the_server(engine: Engine) -> None:
    async def work() -> None:
        store = JobStore(engine, KeepLimits(60, 10**6))
        waiting, ended = await make(store, engine), await make(store, engine)
        await finish(ended, 1)
        await store.close()
        assert (waiting.job.state, ended.job.state) == (State.FAILED, State.COMPLETED)
        assert isinstance(waiting.job.error, Stopping)
        await until(lambda: not (waiting.job.folder.exists() or ended.job.folder.exists()))

    run(work())


def test_a_job_without_a_place_is_not_kept(engine: Engine, backlog: Backlog) -> None:
    async def work() -> None:
        store = JobStore(engine, KeepLimits(60, 10**6))
        backlog.taken = backlog.max_jobs
        with pytest.raises(BacklogFull):
            await make(store, engine)
        assert store.all() == ()

    run(work())
