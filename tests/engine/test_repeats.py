"""A request that comes again: one job for it, whoever is lost, unless that job came to nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.job import Job
from cosmos_handler.engine.jobstore import JobStore, KeepLimits
from cosmos_handler.engine.repeats import RepeatKey, Repeats
from cosmos_handler.errors import BacklogFull, JobFailed, RepeatDiffers
from cosmos_handler.schemas.invocation import Invocation
from tests import fakes

KEY = RepeatKey("mine", "digest")
ASKED = cast(Invocation, None)  # nothing here looks at it


class Front:
    """The part of an engine that a store asks: it accepts when it is let, and remembers its jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: list[Job] = []
        self.refuses = False
        self.open = asyncio.Event()
        self.open.set()

    @asynccontextmanager
    async def submit(self, *_: object, **__: object) -> AsyncIterator[Job]:
        await self.open.wait()
        if self.refuses:
            raise BacklogFull("full", retry_after_seconds=1)
        folder = self.folder / str(len(self.jobs))
        folder.mkdir()
        job = fakes.job(job_id=f"job-{len(self.jobs)}", folder=folder)
        self.jobs.append(job)
        yield job


def run(folder: Path, case: Callable[[Repeats, Front], Awaitable[None]], *, seconds: float = 60) -> None:
    async def whole() -> None:
        front = Front(folder)
        repeats = Repeats(JobStore(cast(Engine, front), KeepLimits(seconds, 10**6)))
        async with asyncio.timeout(10):
            await case(repeats, front)
            for job in front.jobs:
                job.cancel()
            await repeats.close()

    asyncio.run(whole())


async def asked(repeats: Repeats, key: RepeatKey = KEY, encoding: Any = "mp4") -> Job:
    async with repeats.submit(key, ASKED, encoding) as job:
        return job


def test_the_repeat_gets_the_job_that_runs_and_the_one_that_is_done(tmp_path: Path) -> None:
    async def case(repeats: Repeats, front: Front) -> None:
        first = await asked(repeats)
        assert not first.state.is_terminal
        assert await asked(repeats) is first
        first.start()
        first.complete(fakes.done(first.id))
        assert await asked(repeats) is first
        assert front.jobs == [first]

    run(tmp_path, case)


def test_a_caller_who_is_lost_before_it_is_accepted(tmp_path: Path) -> None:
    async def case(repeats: Repeats, front: Front) -> None:
        front.open.clear()
        lost = asyncio.create_task(asked(repeats))
        await asyncio.sleep(0)
        lost.cancel()
        await asyncio.wait({lost})
        front.open.set()
        assert await asked(repeats) is front.jobs[0]
        assert len(front.jobs) == 1

    run(tmp_path, case)


@pytest.mark.parametrize("end", [Job.cancel, lambda job: job.fail(JobFailed("no"))])
def test_what_came_to_nothing_is_done_again(tmp_path: Path, end: Callable[[Job], bool]) -> None:
    async def case(repeats: Repeats, front: Front) -> None:
        first = await asked(repeats)
        end(first)
        assert await asked(repeats) is not first

    run(tmp_path, case)


def test_what_was_refused_is_asked_again(tmp_path: Path) -> None:
    async def case(repeats: Repeats, front: Front) -> None:
        front.refuses = True
        with pytest.raises(BacklogFull):
            await asked(repeats)
        front.refuses = False
        assert await asked(repeats) is front.jobs[0]

    run(tmp_path, case)


def test_what_is_no_longer_kept_is_done_again(tmp_path: Path) -> None:
    async def case(repeats: Repeats, front: Front) -> None:
        first = await asked(repeats)
        first.start()
        first.complete(fakes.done(first.id))
        await asyncio.sleep(0.3)
        assert await asked(repeats) is not first

    run(tmp_path, case, seconds=0.05)


def test_another_request_under_the_same_name_is_refused(tmp_path: Path) -> None:
    async def case(repeats: Repeats, front: Front) -> None:
        await asked(repeats)
        for key, encoding in ((RepeatKey("mine", "other"), "mp4"), (KEY, "npz")):
            with pytest.raises(RepeatDiffers):
                await asked(repeats, key, encoding)
        assert await asked(repeats, KEY.of(1)) is front.jobs[1]

    run(tmp_path, case)
