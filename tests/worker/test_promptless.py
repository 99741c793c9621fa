"""A run that has no prompt: nothing is asked about it, and the first run of such a model needs none either."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.tasks import Continue
from cosmos_handler.messages.wire import Run
from tests.fakes import CONTINUE, CONTINUE_PROMPTED

pytestmark = pytest.mark.model


class Asked:
    """Checks that note what they are asked about."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def prompt(self, text: str, what: str) -> None:
        self.texts.append(text)


@pytest.mark.parametrize(("checkpoint", "asked"), [(CONTINUE, 0), (CONTINUE_PROMPTED, 1)])
def test_only_words_are_asked_about(checkpoint: Checkpoint, asked: int, tmp_path: Path) -> None:
    from cosmos_handler.worker.session import Session

    run = Run(job_id="job", model=checkpoint.name, task=usual_task(checkpoint), folder=str(tmp_path))
    checks: Any = Asked()
    nothing: Any = None
    assert Session._guarded_prompt(nothing, run, nothing, checks) is run
    assert len(checks.texts) == asked


@pytest.mark.parametrize("checkpoint", [CONTINUE, CONTINUE_PROMPTED], ids=lambda each: each.name)
def test_the_first_run_goes_on_from_a_grey_image(checkpoint: Checkpoint, tmp_path: Path) -> None:
    from cosmos_handler.worker.warming import _task

    task = _task(checkpoint, tmp_path)
    assert isinstance(task, Continue)
    assert (task.num_frames, task.num_steps) == (9, 1 if task.decoder == "diffusion" else 0)
    assert bool(task.prompt) == (checkpoint is CONTINUE_PROMPTED)
    assert task.media is not None
    assert (task.media.kind, task.media.num_frames) == ("image", 1)
    frames = task.media.frames()
    assert frames.shape == (1, 640, 1024, 3)
    assert np.all(frames == 128)
