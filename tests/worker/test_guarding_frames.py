"""What the guardrails of frames do to a job, on frames that a family would give."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos_handler.artifacts.discover import discover
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.tasks import build_task
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.messages.wire import Cancelled, Done, Failed, Progress, Run
from cosmos_handler.schemas.invocation import parse
from cosmos_handler.schemas.served import Served
from scripts import make_tiny
from tests.guardrails.pictures import RED, Frames, draw_face, noise

pytestmark = pytest.mark.model

NUM_FRAMES = 37
BODY = {
    "prompt": "a robot", "inference_type": "text2world", "resolution": "64,96", "num_output_frames": NUM_FRAMES
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_tiny.write_checkpoint("predict2.5", folder / "predict2.5", say=lambda line: None)
    return folder


@pytest.fixture
def judged(folder: Path, session: Any, said: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a job whose family gives some frames: the last that was said of it."""
    from cosmos_handler.families.base import Frames as Made

    models = discover(folder)
    served = [Served(each.name, each.aliases, each.family, each.tasks) for each in models]
    inbox = Inbox(Path("/nowhere"), {}, MediaLimits(), asyncio.Semaphore())
    task = asyncio.run(build_task(parse(BODY, models=served), models[0], models, inbox, "npz"))

    def judge(frames: Frames, is_cancelled: Callable[[], bool] = lambda: False) -> Any:
        made = Made(frames, num_output_frames=NUM_FRAMES, fps=16.0)
        monkeypatch.setattr(session._loaded.families["predict2.5"], "run", lambda task, context: made)
        said.clear()
        session.run(Run(job_id="job", model="predict2.5", task=task, folder=str(tmp_path)), is_cancelled=is_cancelled)
        return said[-1]

    return judge


def verdict(of: Any, check: str) -> tuple[str, str]:
    (found,) = [each for each in of if each.check == check]
    return found.state, found.detail


def test_harmless_frames_go_out_bit_for_bit(judged: Any) -> None:
    done = judged(noise(NUM_FRAMES))
    assert isinstance(done, Done)
    assert verdict(done.report.guardrails, "content_filter")[0] == "passed"
    assert verdict(done.report.guardrails, "face_blur")[0] == "passed"
    np.testing.assert_array_equal(np.load(done.output.path)["frames"], noise(NUM_FRAMES))


def test_one_harmful_frame_blocks_and_nothing_is_written(judged: Any, tmp_path: Path) -> None:
    frames = noise(NUM_FRAMES)
    frames[30] = RED
    failed = judged(frames)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.check) == ("guardrail", "content_filter")
    assert verdict(failed.findings, "content_filter") == ("blocked", "the frames: Violence: first in frame 30 of 37")
    assert list(tmp_path.iterdir()) == []


def test_a_face_goes_out_pixelated_and_is_told(judged: Any) -> None:
    frames = noise(NUM_FRAMES)
    draw_face(frames[20], x=40, y=30)
    done = judged(frames)
    assert isinstance(done, Done)
    told = ("changed", "the frames: 1 face pixelated, in 1 of 37 frames")
    assert verdict(done.report.guardrails, "face_blur") == told
    written = np.load(done.output.path)["frames"]
    assert not np.array_equal(written[20], frames[20])
    np.testing.assert_array_equal(np.delete(written, 20, axis=0), np.delete(frames, 20, axis=0))


@pytest.mark.parametrize("check", ["content_filter", "face_blur"])
def test_a_check_that_raises_blocks(judged: Any, session: Any, tmp_path: Path, check: str) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    (guard,) = [each for each in session._loaded.guards._videos if each.name == check]
    hook = guard._parts[f"guardrail_{check}"].register_forward_pre_hook(fail)
    try:
        failed = judged(noise(NUM_FRAMES))
    finally:
        hook.remove()
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.check) == ("guardrail", check)
    assert verdict(failed.findings, check) == ("error", "the frames: it failed with RuntimeError")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", [8, 16])
def test_a_cancel_ends_it_between_batches(judged: Any, said: list[Any], step: int) -> None:
    def is_cancelled() -> bool:
        return any(isinstance(each, Progress) and (each.stage, each.step) == ("guard_frames", step) for each in said)

    assert judged(noise(NUM_FRAMES), is_cancelled) == Cancelled(job_id="job", stage="guard_frames", step=step)
