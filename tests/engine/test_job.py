"""A job ends once, in one way, whatever is said to it afterwards."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cosmos_handler.engine.job import State, new_job_id
from cosmos_handler.errors import JobCancelled, JobFailed
from cosmos_handler.messages.wire import Progress, Token
from tests.fakes import done, job


def progress(step: int) -> Progress:
    return Progress(job_id="job-1", stage="denoise", step=step, num_steps=9)


class JobLife(RuleBasedStateMachine):
    """Every order of events that a pool, a worker and a caller can produce."""

    def __init__(self) -> None:
        super().__init__()
        self.job = job()
        self.listener = self.job.listen()
        self.model = State.QUEUED
        self.reported = 0
        self.endings = 0

    def ended(self, took: bool, state: State) -> None:
        assert took is (not self.model.is_terminal)
        if took:
            self.model = state
            self.endings += 1

    @rule()
    def start(self) -> None:
        took = self.job.start()
        assert took is (self.model is State.QUEUED)
        self.model = State.RUNNING if took else self.model

    @rule(step=st.integers(1, 9))
    def report(self, step: int) -> None:
        took = self.job.report(progress(step))
        assert took is (self.model is State.RUNNING)
        self.reported += took

    @rule()
    def complete(self) -> None:
        self.ended(self.job.complete(done()), State.COMPLETED)

    @rule()
    def fail(self) -> None:
        self.ended(self.job.fail(JobFailed("no")), State.FAILED)

    @rule()
    def cancel(self) -> None:
        self.ended(self.job.cancel(), State.CANCELLED)

    @invariant()
    def agrees(self) -> None:
        assert self.job.state is self.model
        # One entry for each report, and exactly one for the end.
        assert self.listener.queue.qsize() == self.reported + self.endings
        assert self.endings <= 1

    def teardown(self) -> None:
        if not self.job.state.is_terminal:
            return
        expected = {State.FAILED: JobFailed, State.CANCELLED: JobCancelled}.get(self.model)
        if expected is None:
            assert asyncio.run(self.job.result()).output.kind == "text"
        else:
            with pytest.raises(expected):
                asyncio.run(self.job.result())


TestJobLife = JobLife.TestCase


def test_the_first_ending_decides_the_result() -> None:
    each = job()
    assert each.cancel()
    assert not each.complete(done())
    with pytest.raises(JobCancelled):
        asyncio.run(each.result())


async def _listen_to_all() -> list[str]:
    each = job()
    each.start()
    listener = each.listen()
    for step in (1, 2):
        each.report(progress(step))
    each.report(Token(job_id="job-1", text="x", reasoning=False))
    each.complete(done())
    return [happening.type async for happening in listener.events(heartbeat_seconds=1) if happening is not None]


def test_a_listener_hears_everything_that_came_before_it_began_to_read() -> None:
    assert asyncio.run(_listen_to_all()) == ["progress", "progress", "token"]


async def _quiet() -> list[object]:
    each = job()
    each.start()
    heard: list[object] = []
    async for happening in each.listen().events(heartbeat_seconds=0.01):
        heard.append(happening)
        if len(heard) == 2:
            each.complete(done())
    return heard


def test_a_listener_is_told_when_nothing_happens() -> None:
    assert asyncio.run(_quiet()) == [None, None]


@given(st.integers(1, 50))
def test_job_ids_do_not_repeat(count: int) -> None:
    assert len({new_job_id() for _ in range(count)}) == count
