"""What a model process says, and its end, as it comes to the jobs that it has to do with."""

import logging

import pytest

from cosmos_handler.engine.group import Group
from cosmos_handler.engine.job import Job, State
from cosmos_handler.errors import Stopping, WorkerDied, WorkerFailed
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.storing import Order
from cosmos_handler.messages.wire import Cancelled, Failed, Fatal, Learned, Progress
from tests.fakes import done, job


@pytest.fixture(autouse=True)
def all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def busy(*names: str) -> tuple[Group, list[Job]]:
    group, jobs = Group(devices=("0", "1"), ready=True), [job(job_id=name) for name in names]
    group.begin(jobs, now=7.0)
    return group, jobs


def failed(job_id: str) -> Failed:
    return Failed(job_id=job_id, reason="internal", problem="a fault")


def test_it_is_idle_when_it_is_ready_and_has_no_jobs() -> None:
    group = Group(devices=("cpu",))
    assert not group.is_idle
    group.ready = True
    assert group.is_idle
    group.begin([job()], now=7.0)
    assert (group.is_idle, group.heard_at) == (False, 7.0)


def test_every_job_is_told_of_by_its_id_and_leaves_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    group, (one, two, three) = busy("one", "two", "three")
    assert "jobs one, two, three start together on 0,1" in caplog.text
    assert {each.state for each in (one, two, three)} == {State.RUNNING}
    group.hear(Progress(job_id="two", stage="generate", step=1, num_steps=2))
    assert (one.progress, two.progress and two.progress.step) == (None, 1)
    group.hear(done("two"))
    assert (two.state, list(group.jobs)) == (State.COMPLETED, ["one", "three"])
    group.hear(Cancelled(job_id="three", stage="generate", step=1))
    assert (three.state, list(group.jobs)) == (State.CANCELLED, ["one"])
    group.hear(failed("one"))
    assert (one.state, group.is_idle) == (State.FAILED, True)


def test_what_comes_late_changes_nothing_and_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    group, (one, two, _) = busy("one", "two", "three")
    group.hear(done("one"))
    two.fail(Stopping("the server is shutting down", retry_after_seconds=30))
    caplog.clear()
    for name in ("one", "two", "nobody"):
        group.hear(failed(name))
    for late in (done("two"), Cancelled(job_id="two", stage="generate", step=1)):
        group.jobs["two"] = two
        group.hear(late)
    assert (one.state, two.state, isinstance(two.error, Stopping)) == (State.COMPLETED, State.FAILED, True)
    assert [record.getMessage() for record in caplog.records] == [
        "a late failed for job one was dropped",
        "a late failed for job nobody was dropped",
    ]


def test_the_end_of_its_process_is_that_of_all_whom_it_had_to_do_with(caplog: pytest.LogCaptureFixture) -> None:
    group, (one, two, three) = busy("one", "two", "three")
    one.order = Order(S3Address.of("s3://bucket/one.mp4"), "video/mp4", "one")
    group.hear(done("one"))  # which is being stored now
    two.cancel_requested = True
    group.fail_jobs("signal SIGKILL")
    assert (one.state, two.state, three.state) == (State.RUNNING, State.CANCELLED, State.FAILED)
    assert isinstance(three.error, WorkerDied)
    group.fail_jobs("signal SIGKILL")
    assert caplog.text.count("its process ended with signal SIGKILL") == 2


def test_it_learns_of_stages_and_hears_nothing_that_has_no_place() -> None:
    group, _ = busy("one")
    for margin in (1.5, 1.25):
        group.hear(Learned(stage="decode", margin=margin))
    assert group.margins == {"decode": 1.5}
    with pytest.raises(WorkerFailed, match="said fatal in the middle of its work"):
        group.hear(Fatal(problem="spoilt"))
