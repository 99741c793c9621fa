"""How long a job sent now would wait."""

import time
from collections.abc import Mapping

import pytest

from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.foresight import Foresight
from cosmos_handler.engine.group import Group
from cosmos_handler.engine.job import Job
from cosmos_handler.engine.pace import Pace
from cosmos_handler.engine.pool import Pool
from cosmos_handler.engine.waiting import seconds_left, waiting_seconds
from cosmos_handler.errors import WaitOverWindow, WorkerDied
from cosmos_handler.memory.plan import Plan, StagePlan
from cosmos_handler.messages.wire import Progress
from tests.fakes import CARD, REASON, done, video_task
from tests.fakes import job as unpredicted

STAGES = {"encode_text": 2.0, "denoise": 40.0, "decode": 8.0}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def queued(predicted: Mapping[str, float] = STAGES) -> Job:
    folder = unpredicted().folder
    return Job("job-1", model="predict", task=video_task(), folder=folder, predicted=predicted)


def running(clock: Clock, *said: tuple[str, int, int, float]) -> Job:
    """One that has said that; the last number: seconds after the last."""
    job = queued()
    job.pace = Pace(clock)
    job.start()
    for stage, step, num_steps, later in said:
        clock.now += later
        job.report(Progress(job_id=job.id, stage=stage, step=step, num_steps=num_steps))
    return job


def codes(clock: Clock, job_id: str, *said: tuple[str, int, int]) -> Job:
    """One of a batch of tokens that has said that; 100 s for the tokens of all, 20 and 8 for the rest of each."""
    job = queued({"encode_media": 2.0, "generate": 100.0, "diffusion_decode": 20.0, "decode": 8.0})
    job.id = job_id
    job.pace = Pace(clock, main=("generate", "diffusion_decode"))
    job.start()
    for stage, step, num_steps in said:
        job.report(Progress(job_id=job_id, stage=stage, step=step, num_steps=num_steps))
    return job


def test_what_jobs_share_counts_once_and_their_own_for_each(clock: Clock) -> None:
    jobs = [codes(clock, name) for name in "abc"]
    groups = [Group(devices=("0",), ready=True, jobs={job.id: job for job in jobs}, machine=CARD)]
    assert waiting_seconds(groups, []) == pytest.approx(100 + 3 * 30, abs=1)
    began = [("encode_media", 0, 0), ("generate", 0, 50)]
    jobs = [codes(clock, name, *began) for name in "abc"]
    assert seconds_left(*jobs) == 100 + 3 * 28
    clock.now += 30
    for job in jobs:
        job.report(Progress(job_id=job.id, stage="generate", step=10, num_steps=50))
    assert seconds_left(*jobs) == 120 + 3 * 28
    assert seconds_left(*jobs, queued()) == 120 + 3 * 28 + 50
    jobs[0].cancel_requested = True
    assert seconds_left(*jobs) == 120 + 2 * 28
    jobs[1].fail(WorkerDied("gone"))
    assert seconds_left(*jobs) == seconds_left(jobs[2]) == 120 + 28
    assert seconds_left() == 0


def test_while_one_of_them_is_decoded_the_others_are_still_to_come(clock: Clock) -> None:
    jobs = [codes(clock, name, ("generate", 0, 50), ("generate", 50, 50)) for name in "ab"]
    jobs[0].report(Progress(job_id="a", stage="diffusion_decode", step=0, num_steps=10))
    clock.now += 6
    jobs[0].report(Progress(job_id="a", stage="diffusion_decode", step=2, num_steps=10))
    assert seconds_left(*jobs) == (24 + 8) + (20 + 8)


def test_what_was_predicted_is_used_up_in_its_order(clock: Clock) -> None:
    job = codes(clock, "a")
    assert job.started_at is not None
    for seconds, left in ((1, 129), (52, 78), (110, 20), (500, 0)):
        job.started_at = time.time() - seconds
        assert seconds_left(job) == pytest.approx(left, abs=1)


def up(*jobs: Job | None) -> list[Group]:
    busy = [{} if job is None else {job.id: job} for job in jobs]
    return [Group(devices=("cpu",), ready=True, jobs=each, machine=CARD) for each in busy]


def test_what_waits_takes_what_was_predicted() -> None:
    assert seconds_left(queued()) == 50


def test_what_has_just_begun_takes_the_rest_of_it(clock: Clock) -> None:
    job = running(clock)
    assert job.started_at is not None
    job.started_at -= 20
    assert seconds_left(job) == pytest.approx(30, abs=1)
    job.started_at -= 1000
    assert seconds_left(job) == 0


def test_a_stage_takes_what_was_predicted_until_it_shows_its_pace(clock: Clock) -> None:
    job = running(clock, ("encode_text", 0, 0, 0))
    clock.now += 0.5
    assert seconds_left(job) == 1.5 + 40 + 8
    job = running(clock, ("encode_text", 0, 0, 0), ("denoise", 0, 10, 1))
    clock.now += 1
    assert seconds_left(job) == 39 + 8


@pytest.mark.parametrize(("step_seconds", "left"), [(1, 7 + 8), (30, 210 + 8)])
def test_the_pace_goes_before_what_was_predicted(clock: Clock, step_seconds: int, left: int) -> None:
    steps = [("denoise", step, 10, step_seconds) for step in range(4)]
    assert seconds_left(running(clock, *steps)) == left


def test_the_chunks_to_come_are_not_forgotten(clock: Clock) -> None:
    chunk = [("denoise", 0, 20, 0), ("denoise", 10, 20, 20), ("decode", 0, 0, 0)]
    assert seconds_left(running(clock, *chunk)) == 8 + 20  # half of the steps are still to come
    whole = [("denoise", 0, 20, 0), ("denoise", 20, 20, 40), ("decode", 0, 0, 0)]
    assert seconds_left(running(clock, *whole)) == 8


def test_neither_the_tokens_to_come_nor_their_decoding_are_forgotten(clock: Clock) -> None:
    job = queued({"generate": 40.0, "diffusion_decode": 20.0, "decode": 8.0})
    job.pace = Pace(clock, main=("generate", "diffusion_decode"))
    job.start()
    said = [("generate", 0, 40, 0), ("generate", 20, 40, 20), ("diffusion_decode", 0, 30, 0)]
    for stage, step, num_steps, later in [*said, ("diffusion_decode", 15, 30, 10), ("decode", 0, 0, 0)]:
        clock.now += later
        job.report(Progress(job_id=job.id, stage=stage, step=step, num_steps=num_steps))
    assert seconds_left(job) == 8 + 20 + 10


def test_what_is_over_for_the_model_process_takes_nothing(clock: Clock) -> None:
    made, cancelled = running(clock), running(clock)
    made.made = done()
    cancelled.cancel_requested = True
    assert [seconds_left(each) for each in (made, cancelled)] == [0, 0]


def test_jobs_are_shared_out_over_the_processes() -> None:
    assert waiting_seconds(up(None), []) == 0
    assert waiting_seconds(up(queued()), []) == 50
    assert waiting_seconds(up(queued(), None), []) == 0
    # 50 and 20 run; the next three go to whichever is free first.
    groups = up(queued(), queued({"denoise": 20}))
    assert waiting_seconds(groups, [queued({"denoise": 40})]) == 50
    assert waiting_seconds(groups, [queued({"denoise": 40}), queued({"denoise": 5}), queued({"denoise": 1})]) == 56


def test_what_is_not_known_counts_for_nothing() -> None:
    assert waiting_seconds([], [queued()]) == 0
    assert waiting_seconds([Group(devices=("0",), ready=False)], [queued()]) == 0
    assert waiting_seconds(up(unpredicted()), [unpredicted()]) == 0
    # A process that is being started again takes no job meanwhile.
    assert waiting_seconds([*up(queued()), Group(devices=("1",), ready=False)], []) == 50


def plan(seconds: float) -> Plan:
    stage = StagePlan("denoise", 0, 0, (), compute_seconds=seconds, copy_seconds=0.0)
    return Plan((), {}, (stage,), CARD, "exact", "auto")


def test_the_window_is_for_waiting_and_the_job_together() -> None:
    pool = Pool(up(queued()), Backlog(1), environment={}, cpu_threads=1)
    limited = Foresight(pool, (REASON,), NO_GUARDRAILS, window_seconds=60)
    limited.refuse_late(plan(10), [])
    with pytest.raises(WaitOverWindow, match="wait about 55 s for the jobs before it and take about 10 s") as caught:
        limited.refuse_late(plan(10), [queued({"denoise": 5})])
    error = caught.value
    assert (error.waiting_seconds, error.predicted_seconds, error.window_seconds) == (55, 10, 60)
    assert error.retry_after_seconds == 5
    Foresight(pool, (REASON,), NO_GUARDRAILS, window_seconds=None).refuse_late(plan(1000), [])


def test_a_plan_says_what_each_stage_takes() -> None:
    twice = Plan((), {}, plan(10).stages * 2, CARD, "exact", "auto")
    assert twice.stage_seconds == {"denoise": 20}
