"""The pool with real processes: jobs run, die, are cancelled, and every one of them ends."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.gathering import Gathering
from cosmos_handler.engine.group import Group
from cosmos_handler.engine.job import Job, State
from cosmos_handler.engine.pool import Pool
from cosmos_handler.errors import InvalidField, JobFailed, OutOfMemory, Stopping, WorkerDied, WorkerFailed, WorkerStuck
from cosmos_handler.messages.machine import MemoryWish
from cosmos_handler.messages.results import TextOutput
from tests.fakes import CODES, FAKE_WORKER, REASON, continuing, job


def make_pool(
    backlog: Backlog,
    groups: int = 1,
    memory: MemoryWish | None = None,
    stuck_seconds: float | None = None,
    max_batch_size: int = 1,
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
        gathering=Gathering(max_batch_size),
    )


@asynccontextmanager
async def running(
    groups: int = 1,
    memory: MemoryWish | None = None,
    stuck_seconds: float | None = None,
    max_batch_size: int = 1,
) -> AsyncIterator[tuple[Pool, Backlog]]:
    backlog = Backlog(100)
    pool = make_pool(backlog, groups, memory, stuck_seconds, max_batch_size)
    life = asyncio.create_task(pool.run((REASON, CODES), NO_GUARDRAILS))
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
        await until(lambda: all(group.jobs for group in pool.groups))
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
        await until(lambda: len(pool.groups[0].jobs) == 1)
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


def put_alike(backlog: Backlog, *prompts: str) -> list[Job]:
    jobs = [continuing(prompt, job_id=f"job-{prompt}-{number}") for number, prompt in enumerate(prompts)]
    for each in jobs:
        backlog.put(each)
    return jobs


async def batch_sizes(*jobs: Job) -> list[int]:
    return [(await asyncio.wait_for(each.result(), 20)).report.batch_size for each in jobs]


@in_loop
async def test_jobs_that_are_alike_run_together_and_give_their_own_results() -> None:
    async with running(max_batch_size=3) as (pool, backlog):
        jobs = put_alike(backlog, "slow", "abc", "def", "ghi")
        await until(lambda: len(pool.groups[0].jobs) == 3)
        assert pool.num_running == 3
        assert await batch_sizes(*jobs) == [3, 3, 3, 1]
        assert [text_of(each, await each.result()) for each in jobs] == ["wols", "cba", "fed", "ihg"]
        assert pool.num_running == 0


@in_loop
async def test_who_comes_later_or_is_not_alike_runs_after() -> None:
    async with running(max_batch_size=8) as (_, backlog):
        together = put_alike(backlog, "slow", "slow too")
        unlike = continuing("unlike", job_id="unlike", num_steps=7)
        backlog.put(unlike)
        await until(lambda: together[0].progress is not None)
        (late,) = put_alike(backlog, "late")
        assert await batch_sizes(*together, unlike, late) == [2, 2, 1, 1]
        ends = [max(each.ended_at or 0.0 for each in together), unlike.ended_at or 0.0]
        assert (unlike.started_at or 0.0) >= ends[0]
        assert (late.started_at or 0.0) >= ends[1]


@in_loop
async def test_processes_that_wait_share_out_what_is_alike() -> None:
    async with running(groups=2, max_batch_size=8) as (_, backlog):
        assert await batch_sizes(*put_alike(backlog, *["slow"] * 4)) == [2, 2, 2, 2]


@in_loop
async def test_one_of_a_batch_is_cancelled_and_one_fails_and_the_others_complete() -> None:
    async with running(max_batch_size=8) as (pool, backlog):
        slow, long, bad, unspeakable = put_alike(backlog, "slow", "long", "bad", "\ud800")
        await until(lambda: long.progress is not None)
        await pool.cancel(long)
        assert await batch_sizes(slow) == [3]
        await long.ended()
        assert long.state is State.CANCELLED
        with pytest.raises(InvalidField):
            await bad.result()
        with pytest.raises(JobFailed):
            await unspeakable.result()
        assert await batch_sizes(*put_alike(backlog, "after")) == [1]


def ends_told(caplog: pytest.LogCaptureFixture, each: Job, word: str) -> int:
    return sum(record.getMessage().startswith(f"job {each.id} {word}") for record in caplog.records)


def test_kill_fails_all_that_run_together_once_and_the_next_one_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with running(max_batch_size=8) as (pool, backlog):
            made, *slow, cancelled = put_alike(backlog, "made", "long", "long", "long")
            await made.result()
            assert pool.num_running == 3
            child = pool.groups[0].child
            assert child is not None
            os.kill(child.pid, signal.SIGSTOP)
            await pool.cancel(cancelled)
            os.kill(child.pid, signal.SIGKILL)
            for each in slow:
                with pytest.raises(WorkerDied):
                    await each.result()
            await cancelled.ended()
            assert (cancelled.state, made.state) == (State.CANCELLED, State.COMPLETED)
            assert await batch_sizes(*put_alike(backlog, "after", "after")) == [2, 2]
            assert pool.groups[0].child is not child
            assert [ends_told(caplog, each, "failed") for each in (*slow, made, cancelled)] == [1, 1, 0, 0]

    caplog.set_level("INFO")
    asyncio.run(run())
    assert "jobs job-made-0, job-long-1, job-long-2, job-long-3 start together on cpu" in caplog.text


def test_a_fault_of_the_process_changes_nothing_for_those_that_had_ended(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with running(max_batch_size=8) as (_, backlog):
            made, faulty, slow = put_alike(backlog, "made", "fault", "slow")
            for each in (faulty, slow):
                with pytest.raises(JobFailed):
                    await each.result()
            assert made.state is State.COMPLETED
            assert await batch_sizes(*put_alike(backlog, "after")) == [1]
            assert [ends_told(caplog, each, "failed") for each in (made, faulty, slow)] == [0, 1, 1]

    caplog.set_level("INFO")
    asyncio.run(run())


@in_loop
async def test_shutting_down_tells_all_that_run_together() -> None:
    async with running(max_batch_size=8) as (pool, backlog):
        jobs = put_alike(backlog, "long", "long")
        await until(lambda: all(each.progress is not None for each in jobs))
        await pool.shut_down()
        for each in jobs:
            with pytest.raises(Stopping):
                await each.result()


@in_loop
async def test_all_of_a_batch_that_stands_still_are_failed() -> None:
    async with running(stuck_seconds=1.0, max_batch_size=8) as (_, backlog):
        for each in put_alike(backlog, "stand still", "hello"):
            with pytest.raises(WorkerStuck):
                await each.result()
        assert await batch_sizes(*put_alike(backlog, "after")) == [1]


def test_no_job_of_many_is_lost_or_taken_twice(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with running(groups=2, max_batch_size=4) as (pool, backlog):
            jobs = [continuing(f"job {number}", job_id=f"j{number}", num_steps=number % 5 // 3) for number in range(40)]
            for number, each in enumerate(jobs):
                backlog.put(each)
                if number % 7 == 0:
                    await asyncio.sleep(0.02)
                if number % 9 == 8:
                    await pool.cancel(jobs[number - 1])
            await asyncio.wait_for(asyncio.gather(*(each.ended() for each in jobs)), 30)
            started = [
                job_id
                for record in caplog.records
                for job_id in re.findall(r"\bj\d+", record.getMessage())
                if " start" in record.getMessage()
            ]
            assert len(set(started)) == len(started)
            assert set(started) >= {each.id for each in jobs if each.done is not None}
            for number, each in enumerate(jobs):
                assert each.state is State.COMPLETED or number % 9 == 7
                assert each.done is None or text_of(each, each.done) == f"job {number}"[::-1]

    caplog.set_level("INFO")
    asyncio.run(run())
