"""A cancel ends every kind of run at the step that it comes in, with nothing decoded and nothing answered.

Predict2.5 and Transfer2.5 have theirs beside what their pipelines do by themselves.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.discover import discover
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.tasks import build_task
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.messages.wire import Cancelled, Progress, Run
from cosmos_handler.schemas.invocation import parse
from cosmos_handler.schemas.served import Served
from scripts import make_tiny

pytestmark = pytest.mark.model

STEPS = 6
VIDEO = {"resolution": "64,96", "num_frames": 5, "num_steps": STEPS}
WORDS = {"max_tokens": STEPS, "do_sample": False, "model_mode": "reasoner"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("cosmos3", "reason1", "reason2"):
        make_tiny.write_checkpoint(name, folder / name, say=lambda line: None)
    return folder


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize(
    ("model", "body", "stage"),
    [
        ("cosmos3", {"model_mode": "text2video", **VIDEO}, "denoise"),
        ("cosmos3", {"model_mode": "text2image", **VIDEO, "num_frames": 1}, "denoise"),
        ("cosmos3", WORDS, "generate"),
        ("reason1", WORDS, "generate"),
        ("reason2", WORDS, "generate"),
    ],
)
def test_it_ends_at_the_step(
    folder: Path,
    session: Any,
    said: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    body: dict[str, Any],
    stage: str,
    step: int,
) -> None:
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanDecoder3d

    monkeypatch.setattr(WanDecoder3d, "forward", lambda *a, **k: pytest.fail("it was decoded after all"))
    models = discover(folder)
    served = [Served(each.name, each.aliases, each.family, each.tasks) for each in models]
    invocation = parse({"prompt": "a robot", "model": model, **body}, models=served)
    inbox = Inbox(Path("/nowhere"), {}, MediaLimits(), asyncio.Semaphore())
    checkpoint = next(each for each in models if each.name == model)
    task = asyncio.run(build_task(invocation, checkpoint, models, inbox, "npz"))
    said.clear()
    session.run(
        Run(job_id="job", model=model, task=task, folder="/nowhere"),
        is_cancelled=lambda: any(
            isinstance(each, Progress) and (each.stage, each.step) == (stage, step) for each in said
        ),
    )
    assert said[-1] == Cancelled(job_id="job", stage=stage, step=step)
    told = [each.step for each in said if isinstance(each, Progress) and each.stage == stage]
    # Every step is told, from before the first to the last that was done; the first again, if something was encoded.
    assert list(dict.fromkeys(told)) == list(range(step + 1))
