"""Numbers are held against the checkpoint before anything is decoded."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.engine.generation import generation_task
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.messages.tasks import Generate
from cosmos_handler.schemas.generation import GenerationRequest
from cosmos_handler.schemas.invocation import parse
from cosmos_handler.schemas.served import Served
from tests.fakes import PREDICT

SERVED = Served(PREDICT.name, PREDICT.aliases, PREDICT.family, PREDICT.tasks)


def task(**body: Any) -> Generate:
    invocation = parse({"prompt": "a robot", **body}, models=[SERVED])
    assert isinstance(invocation.request, GenerationRequest)
    inbox = Inbox(Path("/nowhere"), {}, MediaLimits(), asyncio.Semaphore())
    return asyncio.run(generation_task(invocation, invocation.request, PREDICT, inbox, "mp4"))


@given(st.integers(1, 509))
def test_frames_are_made_at_the_next_count_that_the_vae_can_make(asked: int) -> None:
    made = task(num_output_frames=asked)
    assert made.num_output_frames == asked
    assert (made.num_frames - 1) % 4 == 0
    assert 0 <= made.num_frames - asked < 4


@given(st.integers(-5, 4000), st.integers(-5, 4000))
def test_sizes_are_multiples_of_sixteen_inside_the_limits(height: int, width: int) -> None:
    fits = all(side % 16 == 0 and 16 <= side <= 1920 for side in (height, width))
    if fits:
        made = task(resolution=f"{height},{width}")
        assert (made.height, made.width) == (height, width)
    else:
        with pytest.raises(InvalidField) as caught:
            task(resolution=f"{height},{width}")
        assert caught.value.field == "resolution"


def test_nvidias_defaults() -> None:
    made = task()
    assert (made.num_output_frames, made.num_steps, made.guidance, made.seed, made.fps) == (77, 35, 7.0, 0, 16.0)
    assert (made.negative_prompt or "").startswith("The video captures a series of frames")
    assert task(negative_prompt="", seed=0, guidance=0).negative_prompt == ""


def test_nvidias_size_by_default() -> None:
    assert (task().height, task().width) == (704, 1280)
    assert (task(resolution="none").height, task(size="320x192").width) == (704, 320)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"num_frames": 510}, "num_frames"),
        ({"height": 64, "width": 64, "resolution": "64,64"}, "height"),
        ({"width": 64}, "height"),
        ({"inference_type": "text2world", "num_input_frames": 1}, "num_input_frames"),
        ({"inference_type": "video2world"}, "input_path"),
        ({"input_reference": "AAAA"}, "inference_type"),
        ({"lora": "paint"}, "lora"),
        ({"lora_scale": 0.5}, "lora_scale"),
        ({"inference_type": "image2world", "image": "AAAA", "num_frames": 1}, "num_frames"),
        ({"inference_type": "video2world", "video": "AAAA", "num_frames": 5}, "num_frames"),
        ({"inference_type": "video2world", "video": "AAAA", "num_input_frames": 1, "num_frames": 1}, "num_frames"),
        ({"video": "AAAA", "num_frames": 9, "enable_autoregressive": True, "chunk_size": 5}, "chunk_size"),
    ],
)
def test_faults(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        task(**body)
    assert caught.value.field == field
