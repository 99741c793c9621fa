"""Several jobs in one batch: each is made as it is by itself, and ends by itself."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos_handler.errors import InvalidField
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.tasks import Continue
from cosmos_handler.messages.wire import Cancelled, Done, Failed, Learned, Progress, Run
from tests.families.autoregressive.served import medium

pytestmark = pytest.mark.model

MODEL = "autoregressive_text"
PROMPTS = ("A red cube.", "A robot walks through a door.", "Rain.")
ROOMY_BYTES = 2**34
Jobs = tuple[Run, ...]
Place = tuple[str, str, int]


@pytest.fixture(scope="module")
def folder(tiny_autoregressive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / MODEL).symlink_to(tiny_autoregressive / MODEL)
    return folder


@pytest.fixture(autouse=True)
def anew(session: Any, said: list[Any]) -> None:
    from cosmos_handler.families.embeddings import TextCache

    said.clear()
    loaded = session._loaded
    loaded.text_cache = TextCache(0)
    machine = loaded.house.machine.model_copy(update={"device_bytes": ROOMY_BYTES, "host_bytes": ROOMY_BYTES})
    loaded.house = replace(loaded.house, machine=machine, margins={})


@pytest.fixture
def jobs(session: Any, tmp_path: Path) -> Jobs:
    """Each goes on from frames of its own by a prompt of its own.

    With the likeliest codes: sums over several rows are rounded otherwise than over one, and a draw that comes out
    otherwise changes all that follow.
    """
    usual = usual_task(session._loaded.checkpoints[MODEL])
    assert isinstance(usual, Continue)
    small = {"num_frames": 17, "num_output_frames": 17, "decoder": "tokenizer", "encoding": "npz"}
    task = usual.model_copy(update=small)
    made = []
    for number, prompt in enumerate(PROMPTS):
        own = tmp_path / str(number)
        own.mkdir()
        media: MediaFile = medium(tmp_path, 9 + number)
        asked = {"prompt": prompt, "seed": 10 * number, "media": media, "temperature": 0.0}
        made.append(Run(job_id=f"job-{number}", model=MODEL, task=task.model_copy(update=asked), folder=str(own)))
    return tuple(made)


@pytest.fixture
def long_jobs(jobs: Jobs) -> Jobs:
    """The same, going on once more."""
    longer = {"num_chunks": 2, "num_output_frames": 25}
    return tuple(job.model_copy(update={"task": job.task.model_copy(update=longer)}) for job in jobs)


def frames_of(job: Run) -> Any:
    path = Path(job.folder, "frames.npz")
    return np.load(path)["frames"] if path.exists() else None


def alone(session: Any, job: Run) -> Any:
    session.run(job, is_cancelled=lambda: False)
    frames = frames_of(job)
    Path(job.folder, "frames.npz").unlink()
    return frames


def together(session: Any, jobs: Jobs, is_cancelled: Callable[[str], bool] = lambda job_id: False) -> None:
    session.run_together(jobs, is_cancelled=is_cancelled)


def ends(said: list[Any]) -> dict[str, Any]:
    """How each job ended, which is said once."""
    told = [each for each in said if isinstance(each, Done | Failed | Cancelled)]
    assert len({each.job_id for each in told}) == len(told)
    return {each.job_id: each for each in told}


def steps(said: list[Any], job: Run, stage: str = "generate") -> list[int]:
    return [
        each.step for each in said if isinstance(each, Progress) and (each.job_id, each.stage) == (job.job_id, stage)
    ]


def when(said: list[Any], job: Run, place: Place) -> Callable[[str], bool]:
    """One of them is cancelled once somebody has said that."""
    who, stage, step = place
    return lambda job_id: (
        job_id == job.job_id
        and any(
            isinstance(each, Progress) and (each.job_id, each.stage, each.step) == (who, stage, step) for each in said
        )
    )


def test_each_is_as_it_is_alone(session: Any, said: list[Any], long_jobs: Jobs) -> None:
    jobs = long_jobs
    wanted = [alone(session, job) for job in jobs]
    single = ends(said)["job-1"].report  # of the longest prompt, which all are planned by
    said.clear()
    together(session, jobs)
    told = ends(said)
    for job, frames in zip(jobs, wanted, strict=True):
        np.testing.assert_array_equal(frames_of(job), frames)
        report = told[job.job_id].report
        assert report.batch_size == len(jobs)
        assert report.stage_seconds.keys() == single.stage_seconds.keys()
        assert report.seed == job.task.seed
        planned = {each.stage: each.predicted_seconds for each in report.stages}
        for each in single.stages:
            if each.stage != "generate" and each.predicted_seconds is not None:
                assert planned[each.stage] == pytest.approx(each.predicted_seconds)
    assert single.batch_size == 1
    # One time for what they share, which each says of itself.
    assert len({told[job.job_id].report.stage_seconds["generate"] for job in jobs}) == 1
    first = steps(said, jobs[0])
    assert first == steps(said, jobs[2])
    assert list(dict.fromkeys(first)) == list(range(first[-1] + 1))


def test_each_draws_by_its_own_seed_and_settings(
    session: Any, long_jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cosmos_handler.families.autoregressive import runner
    from cosmos_handler.families.autoregressive.sampling import Sampling

    asked: list[list[Any]] = []

    def generate(model: Any, requests: Any, **more: Any) -> Any:
        asked.append([request.sampling for request in requests])
        return own_generate(model, requests, **more)

    own_generate = runner.generate
    monkeypatch.setattr(runner, "generate", generate)
    settings = [{"temperature": 1.0 - number / 10, "top_p": 0.8 + number / 10} for number in range(3)]
    jobs = tuple(
        job.model_copy(update={"task": job.task.model_copy(update=own)})
        for job, own in zip(long_jobs, settings, strict=True)
    )
    together(session, jobs)
    expected = [[Sampling(**own, seed=10 * number + chunk) for number, own in enumerate(settings)] for chunk in (0, 1)]
    assert asked == expected


def test_they_take_every_step_of_the_shared_stage_at_once(session: Any, long_jobs: Jobs) -> None:
    jobs = long_jobs
    sizes: list[int] = []
    model = session._loaded.parts[MODEL]["ar_model"]
    hook = model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    together(session, jobs)
    hook.remove()
    reads = 2 * len(jobs)  # of what is given, one by one, in each of two chunks
    assert sizes.count(1) == reads
    assert sizes.count(len(jobs)) == len(sizes) - reads > 0


def test_the_first_is_done_before_the_next_is_decoded(session: Any, said: list[Any], jobs: Jobs) -> None:
    together(session, jobs)
    done = next(number for number, each in enumerate(said) if isinstance(each, Done))
    assert said[done].job_id == jobs[0].job_id
    decoding = [
        number for number, each in enumerate(said) if isinstance(each, Progress) and each.stage == "guard_frames"
    ]
    assert said[decoding[-1]].job_id == jobs[2].job_id
    assert decoding[-1] > done


# In a stage that all share, for the first chunk and for the second; while another is read, and while one is decoded.
@pytest.mark.parametrize(
    "place", [("job-1", "generate", 3), ("job-0", "generate", 40), ("job-0", "encode_media", 0), ("job-0", "decode", 0)]
)
def test_one_that_is_cancelled_ends_at_the_step_and_the_others_go_on(
    session: Any, said: list[Any], long_jobs: Jobs, place: Place
) -> None:
    jobs = long_jobs
    wanted = {job.job_id: alone(session, job) for job in (jobs[0], jobs[2])}
    said.clear()
    together(session, jobs, when(said, jobs[1], place))
    told = ends(said)
    assert isinstance(told["job-1"], Cancelled)
    where = next(
        number
        for number, each in enumerate(said)
        if isinstance(each, Progress) and (each.job_id, each.stage, each.step) == place
    )
    end = said.index(told["job-1"])
    # What is done for one alone ends the others at its next step; a step that is shared is first told of all.
    assert end - where <= (len(jobs) if place[1] == "generate" else 1)
    assert not [each for each in said[end + 1 :] if getattr(each, "job_id", None) == "job-1"]
    if place[0] == "job-1":
        assert (told["job-1"].stage, told["job-1"].step) == place[1:]
    for job in (jobs[0], jobs[2]):
        assert isinstance(told[job.job_id], Done)
        np.testing.assert_array_equal(frames_of(job), wanted[job.job_id])
    assert frames_of(jobs[1]) is None


def test_nothing_goes_on_when_all_are_cancelled(session: Any, said: list[Any], jobs: Jobs) -> None:
    def is_cancelled(job_id: str) -> bool:
        return any(isinstance(each, Progress) and (each.stage, each.step) == ("generate", 5) for each in said)

    together(session, jobs, is_cancelled)
    assert {type(each) for each in ends(said).values()} == {Cancelled}
    assert max(steps(said, jobs[0])) == 5
    assert not [each for each in said if isinstance(each, Progress) and each.stage == "decode"]


def test_none_is_begun_where_all_were_cancelled_before(session: Any, said: list[Any], jobs: Jobs) -> None:
    together(session, jobs, lambda job_id: True)
    assert {type(each) for each in ends(said).values()} == {Cancelled}
    assert not [each for each in said if isinstance(each, Progress)]


def test_one_that_a_guardrail_stops_costs_the_others_nothing(session: Any, said: list[Any], jobs: Jobs) -> None:
    bad = jobs[1].model_copy(update={"task": jobs[1].task.model_copy(update={"prompt": "He holds a gore porn."})})
    together(session, (jobs[0], bad, jobs[2]))
    told = ends(said)
    assert isinstance(told["job-1"], Failed)
    assert told["job-1"].reason == "guardrail"
    assert isinstance(told["job-0"], Done)
    assert isinstance(told["job-2"], Done)
    assert not steps(said, bad)


def test_one_whose_request_is_refused_late_costs_the_others_nothing(
    session: Any, said: list[Any], jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cosmos_handler.families.autoregressive import runner

    asked: list[int] = []

    def spoilt(*arguments: Any, **more: Any) -> Any:
        asked.append(1)
        if len(asked) == 2:
            raise InvalidField("video", "cannot be read")
        return runner_pixels(*arguments, **more)

    runner_pixels = runner.context_pixels
    monkeypatch.setattr(runner, "context_pixels", spoilt)
    together(session, jobs)
    told = ends(said)
    assert (told["job-1"].reason, told["job-1"].field) == ("request", "video")
    assert isinstance(told["job-0"], Done)
    assert isinstance(told["job-2"], Done)


class Full:
    """A part that finds no memory once, after it was called so many times."""

    def __init__(self, module: Any, after: int) -> None:
        self.left = after
        self.hook = module.register_forward_pre_hook(self)

    def __call__(self, module: Any, arguments: Any) -> None:
        import torch

        self.left -= 1
        if self.left == 0:
            raise torch.OutOfMemoryError("no room")


@pytest.fixture
def full(session: Any) -> Iterator[Callable[[str, int], None]]:
    made: list[Full] = []

    def fill(part: str, after: int) -> None:
        made.append(Full(session._loaded.parts[MODEL][part], after))

    yield fill
    for each in made:
        each.hook.remove()


def test_they_are_made_one_by_one_where_there_is_too_little_memory_for_all(
    session: Any, said: list[Any], jobs: Jobs, full: Callable[[str, int], None]
) -> None:
    wanted = [alone(session, job) for job in jobs]
    said.clear()
    full("ar_model", 10)
    together(session, jobs)
    told = ends(said)
    for job, frames in zip(jobs, wanted, strict=True):
        report = told[job.job_id].report
        assert report.retried
        assert report.batch_size == 1
        np.testing.assert_array_equal(frames_of(job), frames)
    (learned,) = (each for each in said if isinstance(each, Learned))
    assert learned.stage == "generate together"
    from cosmos_handler.memory.planning import plan_for, plan_together

    house, tasks = session._loaded.house, [job.task for job in jobs]
    unlearned = replace(house, margins={})
    assert plan_for(tasks[0], MODEL, house) == plan_for(tasks[0], MODEL, unlearned)
    more, before = (plan_together(tasks, MODEL, where).stage("generate") for where in (house, unlearned))
    assert more is not None
    assert before is not None
    assert more.working_bytes == int(before.working_bytes * learned.margin)


def test_those_that_are_done_are_not_made_again(
    session: Any, said: list[Any], jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from cosmos_handler.worker import session as sessions

    written: list[str] = []

    def output(message: Run, *arguments: Any) -> Any:
        written.append(message.job_id)
        if len(written) == 2:
            raise torch.OutOfMemoryError("no room")
        return file_output(message, *arguments)

    file_output = sessions.file_output
    monkeypatch.setattr(sessions, "file_output", output)
    together(session, jobs)
    assert written == ["job-0", "job-1", "job-1", "job-2"]
    told = ends(said)
    assert [told[job.job_id].report.retried for job in jobs] == [False, True, True]
    assert [told[job.job_id].report.batch_size for job in jobs] == [3, 1, 1]


def test_they_are_made_one_by_one_where_there_is_no_plan_for_all(
    session: Any, said: list[Any], jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    from cosmos_handler.memory.plan import NothingFits
    from cosmos_handler.memory.planning import plan_for

    loaded = session._loaded
    least = plan_for(jobs[0].task, MODEL, loaded.house).peak_bytes

    def house(device_bytes: int) -> Any:
        return replace(loaded.house, machine=loaded.house.machine.model_copy(update={"device_bytes": device_bytes}))

    def fits(device_bytes: int, batch_size: int) -> bool:
        try:
            plan_for(jobs[0].task, MODEL, house(device_bytes), batch_size=batch_size)
        except NothingFits:
            return False
        return True

    room = bisect_left(range(least), True, key=lambda size: fits(size, 1))
    assert not fits(room, len(jobs))
    loaded.house = house(room)
    together(session, jobs)
    assert "3 jobs are made one by one" in caplog.text
    told = ends(said)
    assert [(told[job.job_id].report.batch_size, told[job.job_id].report.retried) for job in jobs] == [(1, False)] * 3


def test_a_fault_in_what_is_done_for_one_names_that_one(
    session: Any, said: list[Any], jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cosmos_handler.worker import session as sessions

    file_output = sessions.file_output

    def output(message: Run, *arguments: Any) -> Any:
        if message.job_id == "job-1":
            raise OSError("no space left on device")
        return file_output(message, *arguments)

    monkeypatch.setattr(sessions, "file_output", output)
    with pytest.raises(OSError, match="no space"):
        together(session, jobs)
    assert session.present == "job-1"
    assert ends(said).keys() == {"job-0"}
    together(session, (jobs[0], jobs[2]))
    assert session.present is None
    assert ends(said[-1:]).keys() == {"job-2"}


def test_a_fault_of_ours_goes_up(session: Any, said: list[Any], jobs: Jobs, full: Any) -> None:
    model = session._loaded.parts[MODEL]["ar_model"]

    def broken(module: Any, arguments: Any) -> None:
        raise RuntimeError("broken")

    hook = model.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="broken"):
        together(session, jobs)
    hook.remove()
    assert ends(said) == {}
    assert session.present is None  # it is everybody's
    together(session, jobs)  # and nothing of it is left
    assert {type(each) for each in ends(said).values()} == {Done}
