"""A device with less memory than it should have: a run is done once more with less on it, or refused."""

import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.tasks import Answer, Generate, Piece, Task, Turn
from cosmos_handler.messages.wire import Done, Failed, Learned, Progress, Run
from cosmos_handler.worker.session import log

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def folder(tiny_models: Path) -> Path:
    return tiny_models


@pytest.fixture(autouse=True)
def anew(session: Any, said: list[Any]) -> None:
    said.clear()
    session._loaded.house = session._loaded.house.__class__(
        session._loaded.house.checkpoints,
        session._loaded.house.guardrails,
        session._loaded.house.machine.model_copy(update={"device_bytes": 2**34, "host_bytes": 2**34}),
        session._loaded.house.wish,
        {},
    )


def video(session: Any) -> Generate:
    task = usual_task(session._loaded.checkpoints["predict2.5"])
    assert isinstance(task, Generate)
    small = {"num_steps": 2, "num_frames": 5, "num_output_frames": 5, "height": 64, "width": 96, "encoding": "npz"}
    return task.model_copy(update={"prompt": "A red cube.", **small})


def run(session: Any, task: Task, model: str = "predict2.5") -> Any:
    with tempfile.TemporaryDirectory() as folder:
        session.run(Run(job_id="job", model=model, task=task, folder=folder), is_cancelled=lambda: False)
        frames = Path(folder, "frames.npz")
        return np.load(frames)["frames"] if frames.exists() else None


class Full:
    """A part that finds no memory the first so many times that it is called."""

    def __init__(self, module: Any, times: int) -> None:
        self.left = times
        self._hook = module.register_forward_pre_hook(self)

    def __call__(self, module: Any, arguments: Any) -> None:
        import torch

        if self.left:
            self.left -= 1
            raise torch.OutOfMemoryError("no room")

    def remove(self) -> None:
        self._hook.remove()


def test_it_is_done_once_more_with_less_on_the_device(session: Any, said: list[Any]) -> None:
    task = video(session)
    wanted = run(session, task)
    first = said[-1].report
    said.clear()
    full = Full(session._loaded.parts["predict2.5"]["transformer"], times=1)
    made = run(session, task)
    full.remove()
    done = said[-1]
    assert isinstance(done, Done)
    np.testing.assert_array_equal(made, wanted)
    report = done.report
    assert report.retried
    assert not first.retried
    assert set(first.plan.values()) == {"resident"}
    assert report.predicted_peak_bytes < first.predicted_peak_bytes
    (learned,) = (each for each in said if isinstance(each, Learned))
    assert learned.stage == "denoise"
    assert learned.margin > 1
    stages = [each.stage for each in said if isinstance(each, Progress) and each.step == 0]
    assert stages.count("guard_prompt") == 2  # from the beginning, as whatever was there is gone


def test_what_the_failed_run_held_is_let_go_before_the_next(
    session: Any, said: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(log, "propagate", False)  # pytest keeps the records, and with them the tracebacks
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    def full(module: Any, arguments: Any) -> None:
        if held:
            alive.append(held[0]() is not None)
            return
        activations = torch.zeros(8)
        held.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("no room")

    hook = session._loaded.parts["predict2.5"]["transformer"].register_forward_pre_hook(full)
    run(session, video(session))
    hook.remove()
    assert said[-1].report.retried
    assert alive
    assert not any(alive)


def test_what_was_learned_is_planned_with(session: Any, said: list[Any]) -> None:
    task = video(session)
    full = Full(session._loaded.parts["predict2.5"]["transformer"], times=1)
    run(session, task)
    full.remove()
    stage = next(each for each in said[-1].report.stages if each.stage == "denoise")
    said.clear()
    session._loaded.house = session._loaded.house.with_margin("denoise", 1.0)
    run(session, task)
    before = next(each for each in said[-1].report.stages if each.stage == "denoise")
    assert not said[-1].report.retried
    session._loaded.house = session._loaded.house.with_margin("denoise", 40.0)
    run(session, task)
    after = next(each for each in said[-1].report.stages if each.stage == "denoise")
    assert after.predicted_peak_bytes > before.predicted_peak_bytes
    assert stage.predicted_peak_bytes != before.predicted_peak_bytes


def test_the_second_time_is_the_last(session: Any, said: list[Any]) -> None:
    full = Full(session._loaded.parts["predict2.5"]["transformer"], times=2)
    assert run(session, video(session)) is None
    assert full.left == 0
    full.remove()
    assert isinstance(said[-1], Failed)
    assert said[-1].reason == "memory"
    assert "denoise" in said[-1].problem
    assert run(session, video(session)) is not None  # and the next job finds everything in order


def test_an_answer_that_has_begun_to_speak_is_not_begun_again(session: Any, said: list[Any]) -> None:
    turn = Turn(role="user", pieces=(Piece(text="Count to ten."),))
    usual = usual_task(session._loaded.checkpoints["reason2"])
    assert isinstance(usual, Answer)
    task = usual.model_copy(update={"turns": (turn,), "max_tokens": 12, "do_sample": False, "temperature": None})
    run(session, task, "reason2")
    words = [each for each in said if each.type == "token"]
    assert words  # else it would be no test
    said.clear()
    calls = 0

    def late(module: Any, arguments: Any) -> None:
        import torch

        nonlocal calls
        calls += 1
        if calls == 11:
            raise torch.OutOfMemoryError("no room")

    hook = session._loaded.parts["reason2"]["model"].register_forward_pre_hook(late)
    run(session, task, "reason2")
    hook.remove()
    assert [each for each in said if each.type == "token"]
    assert isinstance(said[-1], Failed)
    assert said[-1].reason == "memory"


def test_what_can_never_fit_is_refused_before_anything_is_done(session: Any, said: list[Any]) -> None:
    house = session._loaded.house
    session._loaded.house = house.__class__(
        house.checkpoints,
        house.guardrails,
        house.machine.model_copy(update={"device_bytes": 10_000}),
        house.wish,
        {},
    )
    run(session, video(session))
    assert [each.type for each in said] == ["failed"]
    assert said[-1].reason == "memory"
    assert "GiB of the device" in said[-1].problem
