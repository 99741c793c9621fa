"""The pool with real processes: jobs run, die, are cancelled, and every one of them ends."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.group import Group
from cosmos_handler.engine.job import Job, State
from cosmos_handler.engine.pool import Pool
from cosmos_handler.errors import InvalidField, JobFailed, OutOfMemory, Stopping, WorkerDied, WorkerFailed, WorkerStuck
from cosmos_handler.messages.machine import MemoryWish
from cosmos_handler.messages.results import TextOutput
from tests.fakes import FAKE_WORKER, REASON, job


def make_pool(
    backlog: Backlog, groups: int = 1, memory: MemoryWish | None = None, stuck_seconds: float | None = None
) -> Pool:
    return Pool(
        [Group(devices=("cpu",)) for _ in range(groups)],
        backlog,
        environment={"PATH": os.environ["PATH"]},
        cpu_threads=1,
        memory=memory or MemoryWish(),
        command=FAKE_WORKER,
        restart_delay=lambda failures: 0.01,
        stuck_seconds=stuck_seconds,
    )


@asynccontextmanager
async def running(
    groups: int = 1, memory: MemoryWish | None = None, stuck_seconds: float | None = None
) -> AsyncIterator[tuple[Pool, Backlog]]:
    backlog = Backlog(100)
    pool = make_pool(backlog, groups, memory, stuck_seconds)
    life = asyncio.create_task(pool.run((REASON,), NO_GUARDRAILS))
    try:
        await until(lambda: all(group.ready for group in pool.groups))
        yield pool, backlog
        if life.done():
            await life  # raises what ended it too early
    finally:
        await pool.shut_down()
        life.cancel()
        await asyncio.wait({life})


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is about another process
            await asyncio.sleep(0.01)


def in_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


def put(backlog: Backlog, *prompts: str) -> list[Job]:
    jobs = [job(prompt, job_id=f"job-{number}") for number, prompt in enumerate(prompts)]
    for each in jobs:
        backlog.put(each)
    return jobs


def text_of(each: Job, result: object) -> str:
    output = getattr(result, "output")  # noqa: B009 - Done, seen as the union it is
    assert isinstance(output, TextOutput)
    return output.text


@in_loop
async def test_jobs_run_one_after_the_other_and_give_their_own_results() -> None:
    async with running() as (_, backlog):
        jobs = put(backlog, "abc", "def", "ghi")
        assert [text_of(each, await each.result()) for each in jobs] == ["cba", "fed", "ihg"]


@in_loop
async def test_two_groups_share_one_line() -> None:
    async with running(groups=2) as (pool, backlog):
        jobs = put(backlog, *["slow"] * 4)
        await until(lambda: all(group.job is not None for group in pool.groups))
        for each in jobs:
            assert text_of(each, await each.result()) == "wols"


@in_loop
async def test_the_processes_hear_of_memory_and_say_what_they_have() -> None:
    async with running(groups=2, memory=MemoryWish(device_bytes=5000, host_bytes=7000)) as (pool, backlog):
        assert pool.machine is not None
        assert (pool.machine.device_bytes, pool.machine.host_bytes) == (5000, 7000)
        first, second = pool.groups
        first.machine = pool.machine.model_copy(update={"device_bytes": 4000})  # a card that another program shares
        assert pool.machine is first.machine
        (dying,) = put(backlog, "die")
        with pytest.raises(WorkerDied):
            await dying.result()
        await until(lambda: first.ready and second.ready)
        assert pool.machine is not None


def test_nothing_is_known_of_the_machine_before_a_process_is_ready() -> None:
    assert make_pool(Backlog(1)).machine is None


@in_loop
async def test_failures_become_the_errors_they_are() -> None:
    async with running() as (_, backlog):
        bad, memory, broken, good = put(backlog, "bad", "memory", "broken", "fine")
        with pytest.raises(InvalidField) as caught:
            await bad.result()
        assert str(caught.value) == "prompt: it is bad (allowed: good)"
        with pytest.raises(OutOfMemory):
            await memory.result()
        with pytest.raises(JobFailed):
            await broken.result()
        assert (await good.result()).job_id == good.id


@in_loop
async def test_a_job_that_cannot_be_told_fails_alone() -> None:
    async with running() as (_, backlog):
        unspeakable, good = put(backlog, "\ud800", "fine")
        with pytest.raises(JobFailed):
            await asyncio.wait_for(unspeakable.result(), 5)
        assert (await asyncio.wait_for(good.result(), 5)).job_id == good.id


@in_loop
async def test_a_cancelled_job_stops_at_its_next_step() -> None:
    async with running() as (pool, backlog):
        slow, after = put(backlog, "long", "fine")
        await until(lambda: slow.progress is not None)
        await pool.cancel(slow)
        await slow.ended()
        assert slow.state is State.CANCELLED
        assert slow.progress is not None
        assert slow.progress.step < slow.progress.num_steps
        assert (await after.result()).job_id == after.id


@in_loop
async def test_a_waiting_job_is_cancelled_at_once_and_never_runs() -> None:
    async with running() as (pool, backlog):
        slow, waiting = put(backlog, "slow", "fine")
        await until(lambda: slow.progress is not None)
        await pool.cancel(waiting)
        assert waiting.state is State.CANCELLED
        await slow.result()
        assert waiting.progress is None


@in_loop
async def test_kill_fails_the_job_and_the_next_one_succeeds_in_a_new_process() -> None:
    async with running() as (pool, backlog):
        group = pool.groups[0]
        slow, after = put(backlog, "long", "fine")
        await until(lambda: slow.progress is not None)
        assert group.child is not None
        first = group.child.pid
        began = time.monotonic()
        os.kill(first, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            await slow.result()
        assert time.monotonic() - began < 10
        assert (await after.result()).job_id == after.id
        assert group.child is not None
        assert group.child.pid != first
        with pytest.raises(ProcessLookupError):  # reaped, not left as a zombie
            os.kill(first, 0)


@in_loop
async def test_not_ready_while_a_new_process_comes_up() -> None:
    async with running() as (pool, backlog):
        assert pool.is_ready
        (dying,) = put(backlog, "die")
        with pytest.raises(WorkerDied):
            await dying.result()
        assert not pool.is_ready
        await until(lambda: pool.is_ready)


@in_loop
async def test_a_process_that_dies_idle_is_replaced() -> None:
    async with running() as (pool, backlog):
        group = pool.groups[0]
        assert group.child is not None
        os.kill(group.child.pid, signal.SIGKILL)
        await until(lambda: not group.ready)
        (after,) = put(backlog, "fine")
        assert (await after.result()).job_id == after.id


@in_loop
async def test_a_cancel_that_the_process_does_not_survive_is_still_a_cancel() -> None:
    async with running() as (pool, backlog):
        (slow,) = put(backlog, "long")
        await until(lambda: slow.progress is not None)
        assert pool.groups[0].child is not None
        pid = pool.groups[0].child.pid
        os.kill(pid, signal.SIGSTOP)
        await pool.cancel(slow)
        os.kill(pid, signal.SIGKILL)
        await slow.ended()
        assert slow.state is State.CANCELLED


@in_loop
async def test_shutting_down_tells_the_running_job_so() -> None:
    async with running() as (pool, backlog):
        (slow,) = put(backlog, "long")
        await until(lambda: slow.progress is not None)
        await pool.shut_down()
        with pytest.raises(Stopping):
            await slow.result()


@in_loop
async def test_shutting_down_does_not_wait_for_a_process_that_never_reads() -> None:
    async with running() as (pool, backlog):
        child = pool.groups[0].child
        assert child is not None
        os.kill(child.pid, signal.SIGSTOP)
        put(backlog, "more than a pipe holds" * 10**6)
        await until(lambda: pool.groups[0].job is not None)
        try:
            async with asyncio.timeout(20):
                await pool.shut_down()
        finally:
            child.kill()


async def failure_of(checkpoint: Checkpoint) -> str:
    pool = make_pool(Backlog(1))
    with pytest.raises(ExceptionGroup) as caught:
        await pool.run((checkpoint,), NO_GUARDRAILS)
    (error,) = caught.value.exceptions
    assert isinstance(error, WorkerFailed)
    return str(error)


@in_loop
async def test_a_process_that_says_fatal_is_not_started_again() -> None:
    assert await failure_of(replace(REASON, path="/fatal")) == "spoilt"


@in_loop
async def test_a_process_that_never_becomes_ready_is_given_up() -> None:
    assert "3 times" in await failure_of(replace(REASON, path="/crash"))


@in_loop
async def test_a_signal_to_the_terminals_group_does_not_reach_the_model_process() -> None:
    async with running() as (pool, _):
        child = pool.groups[0].child
        assert child is not None
        assert os.getpgid(child.pid) == child.pid


@in_loop
async def test_a_job_that_stands_still_is_failed_and_the_next_one_runs_in_a_new_process() -> None:
    async with running(stuck_seconds=1.0) as (pool, backlog):
        stuck, following = put(backlog, "stand still", "hello")
        first = pool.groups[0].child
        assert first is not None
        with pytest.raises(WorkerStuck):
            await stuck.result()
        assert stuck.state is State.FAILED
        assert text_of(following, await following.result()) == "olleh"
        assert pool.groups[0].child is not first
        assert not pool.groups[0].is_stuck


@in_loop
async def test_a_job_that_is_slow_is_not_stuck() -> None:
    async with running(stuck_seconds=2.0) as (pool, backlog):
        first = pool.groups[0].child
        jobs = put(backlog, *["slow"] * 8)  # three seconds in all, and never two of silence
        for each in jobs:
            await each.result()
        assert pool.groups[0].child is first
