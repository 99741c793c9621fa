"""What goes on from an image or a video: numbers are held against the checkpoint before anything is decoded."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.job import Job
from cosmos_handler.engine.tasks import build_task
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.wanted import LastFrames, Wanted, WantedImage
from cosmos_handler.messages.tasks import Continue
from cosmos_handler.schemas.invocation import parse
from cosmos_handler.schemas.served import Served
from tests.fakes import CONTINUE, CONTINUE_PROMPTED

LARGE = replace(CONTINUE, parts=(replace(CONTINUE.parts[0], config={"num_hidden_layers": 40}), CONTINUE.parts[1]))
SHORT = replace(CONTINUE, generation=replace(CONTINUE.generation, max_frames=9))  # type: ignore[type-var]


class Decoded(Inbox):
    """An inbox that says what was wanted of a medium, in the place of its path."""

    async def bring(self, reference: str, wanted: Mapping[str, Wanted], *, field: str) -> MediaFile:
        (kind, asked), *_ = wanted.items()
        frames = asked.count if isinstance(asked, LastFrames) else 1
        assert isinstance(asked, LastFrames if kind == "video" else WantedImage)
        return MediaFile("video" if kind == "video" else "image", field, frames, 8, 8, None, frames, ())


def task(checkpoint: Checkpoint = CONTINUE, **body: Any) -> Continue:
    served = Served(checkpoint.name, checkpoint.aliases, checkpoint.family, checkpoint.tasks)
    invocation = parse(body, models=[served])
    inbox = Decoded(Path("/nowhere"), {}, MediaLimits(), asyncio.Semaphore())
    built = asyncio.run(build_task(invocation, checkpoint, [checkpoint], inbox, "mp4"))
    assert isinstance(built, Continue)
    return built


def fault(checkpoint: Checkpoint = CONTINUE, **body: Any) -> InvalidField:
    with pytest.raises(InvalidField) as caught:
        task(checkpoint, **body)
    return caught.value


def test_nvidias_defaults_for_a_video() -> None:
    made = task(CONTINUE_PROMPTED, video="AAAA", prompt=" A road. ")
    assert (made.inference_type, made.num_input_frames, made.prompt) == ("video2world", 9, "A road.")
    assert (made.num_frames, made.num_output_frames, made.num_chunks, made.chunk_overlap) == (33, 33, 1, 9)
    assert (made.height, made.width, made.fps, made.seed, made.temperature) == (640, 1024, 25.0, 0, 1.0)
    assert (made.decoder, made.num_steps, made.guidance) == ("diffusion", 15, 1.8)
    assert made.media is not None
    assert (made.media.path, made.media.num_frames) == ("video", 9)


def test_an_image_is_one_frame_and_needs_no_prompt() -> None:
    made = task(image="AAAA")
    assert (made.inference_type, made.num_input_frames, made.prompt) == ("image2world", 1, "")
    assert made.media is not None
    assert made.media.num_frames == 1
    assert task(CONTINUE_PROMPTED, image="AAAA").prompt == ""
    assert task(video="AAAA", num_input_frames=1).num_input_frames == 1


@pytest.mark.parametrize(
    ("checkpoint", "top_p"), [(CONTINUE, 0.8), (CONTINUE_PROMPTED, 0.7), (LARGE, 0.9)], ids=["4B", "5B", "12B"]
)
def test_tokens_are_drawn_as_nvidia_draws_them_with_the_model(checkpoint: Checkpoint, top_p: float) -> None:
    assert task(checkpoint, video="AAAA").top_p == top_p
    assert task(checkpoint, video="AAAA", top_p=0.5).top_p == 0.5


def test_a_model_with_one_decoder_uses_that() -> None:
    made = task(video="AAAA")
    assert (made.decoder, made.num_steps, made.guidance) == ("tokenizer", 0, 0.0)
    assert task(video="AAAA", disable_diffusion_decoder=True).decoder == "tokenizer"
    assert task(CONTINUE_PROMPTED, video="AAAA", disable_diffusion_decoder=True).decoder == "tokenizer"
    assert task(CONTINUE_PROMPTED, video="AAAA", decoder="tokenizer").decoder == "tokenizer"
    assert task(CONTINUE_PROMPTED, video="AAAA", disable_diffusion_decoder=False, num_steps=3).num_steps == 3


@given(st.integers(10, 1920))
def test_every_frame_is_made_once_and_none_in_vain(asked: int) -> None:
    made = task(video="AAAA", num_output_frames=asked)
    new = made.num_frames - made.chunk_overlap
    total = made.num_frames + (made.num_chunks - 1) * new
    assert made.num_output_frames == asked
    assert (made.num_frames - 1) % 8 == 0
    assert 9 < made.num_frames <= 33
    assert 0 <= total - asked < (8 if made.num_chunks == 1 else 24)
    assert made.num_frames == 33 or made.num_chunks == 1


@pytest.mark.parametrize(("asked", "made"), [(2, (9, 1)), (9, (9, 1)), (10, (17, 1)), (33, (33, 1)), (34, (33, 2))])
def test_an_image_is_followed_by_as_few_frames_as_do(asked: int, made: tuple[int, int]) -> None:
    built = task(image="AAAA", num_output_frames=asked)
    assert (built.num_frames, built.num_chunks) == made


def test_a_model_of_short_videos_goes_on_from_one_frame() -> None:
    assert task(SHORT, video="AAAA").num_input_frames == 1
    assert fault(SHORT, video="AAAA", num_input_frames=9).allowed == "1"
    assert fault(SHORT, video="AAAA", num_output_frames=10).allowed == "1 to 9"


@pytest.mark.parametrize(
    "size", [{"resolution": "640,1024"}, {"size": "1024x640"}, {"height": 640, "width": 1024}, {"resolution": "none"}]
)
def test_the_one_size_may_be_said(size: dict[str, Any]) -> None:
    assert (task(video="AAAA", **size).height, task(video="AAAA", data_resolution=[640, 1024]).width) == (640, 1024)


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"num_frames": 9}, "num_frames", "10 or more"),
        ({"num_output_frames": 1921}, "num_output_frames", "1 to 1920"),
        ({"image": "AAAA", "video": None, "num_output_frames": 1}, "num_output_frames", "2 or more"),
        ({"image": "AAAA", "video": None, "num_input_frames": 9}, "num_input_frames", "allowed: 1"),
        ({"num_input_frames": 2}, "num_input_frames", "1 or 9"),
        ({"resolution": "640,1008"}, "resolution", '"640,1024"'),
        ({"data_resolution": [1024, 640]}, "data_resolution", '"640,1024"'),
        ({"height": 640, "width": 1008}, "width", "1024"),
        ({"width": 1024}, "height", "is needed"),
        ({"prompt": "a road"}, "prompt", "reads none"),
        ({"decoder": "diffusion"}, "decoder", "allowed: tokenizer"),
        ({"disable_diffusion_decoder": False}, "disable_diffusion_decoder", "allowed: true"),
        ({"decoder": "tokenizer", "disable_diffusion_decoder": True}, "disable_diffusion_decoder", "one of the two"),
        ({"steps": 3}, "steps", "the tokenizer decodes"),
        ({"guidance_scale": 3}, "guidance_scale", "the tokenizer decodes"),
        ({"inference_type": "image2world"}, "video", "does not go with image2world"),
        ({"video": None}, "input_path", "the video to continue from"),
        ({"inference_type": "image2world", "video": None}, "input_path", "the image to continue from"),
        ({"negative_prompt": "noise"}, "negative_prompt", "not a field"),
    ],
)
def test_faults(body: dict[str, Any], field: str, said: str) -> None:
    error = fault(**{"video": "AAAA", **body})
    assert error.field == field
    assert said in str(error)


def test_a_job_of_it_comes_on_with_its_tokens_and_their_decoding(tmp_path: Path) -> None:
    job = Job("job-1", model="prompted", task=task(CONTINUE_PROMPTED, video="AAAA"), folder=tmp_path)
    assert job.pace.shares.keys() == {"generate", "diffusion_decode"}
