"""What a request to Cosmos 3 becomes, held against NVIDIA's sample_args and its limits."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.artifacts.defaults import GENERATION
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.omni import omni_task
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.messages.tasks import Omni
from cosmos_handler.schemas.invocation import parse
from cosmos_handler.schemas.omni import OmniRequest
from cosmos_handler.schemas.served import Served
from tests.conftest import sample
from tests.fakes import COSMOS3

SERVED = Served(COSMOS3.name, COSMOS3.aliases, COSMOS3.family, COSMOS3.tasks)


def task(**body: Any) -> Omni:
    invocation = parse({"prompt": "a robot", "model_mode": "text2video", **body}, models=[SERVED])
    assert isinstance(invocation.request, OmniRequest)
    inbox = Inbox(Path("/nowhere"), {}, MediaLimits(), asyncio.Semaphore())
    return asyncio.run(omni_task(invocation, invocation.request, COSMOS3, inbox, "mp4"))


@pytest.mark.parametrize("mode", ["text2image", "text2video", "image2video", "video2video"])
def test_the_table_says_what_nvidias_files_say(mode: str) -> None:
    said = json.loads(sample(f"cosmos3/defaults/{mode}.json").read_text())
    row = GENERATION["cosmos3", mode]
    assert (row.num_steps, row.guidance, row.shift) == (said["num_steps"], said["guidance"], said["shift"])
    assert (row.num_frames, row.fps, row.aspect_ratio) == (said["num_frames"], said["fps"], said["aspect_ratio"])
    negative = said["negative_prompt"]
    if "negative_prompt_file" in said:
        negative = json.dumps(json.loads(sample("cosmos3/defaults/neg_prompts.json").read_text()))
    assert row.negative_prompt == negative


def test_nvidias_sentences() -> None:
    said = json.loads(sample("cosmos3/defaults/text2video.json").read_text())
    metadata = task().metadata
    assert (metadata.duration, metadata.inverse_duration) == (
        said["duration_template"],
        said["inverse_duration_template"],
    )
    assert (metadata.resolution, metadata.inverse_resolution) == (
        said["resolution_template"],
        said["inverse_resolution_template"],
    )
    image = json.loads(sample("cosmos3/defaults/text2image.json").read_text())
    assert task(model_mode="text2image").metadata.resolution == image["resolution_template"]


def test_defaults_by_mode() -> None:
    video = task()
    assert (video.num_frames, video.num_steps, video.guidance, video.shift, video.fps) == (189, 35, 6.0, 10.0, 24.0)
    assert (video.height, video.width, video.metadata.aspect_ratio, video.seed) == (720, 1280, "16,9", 0)
    assert (video.negative_prompt or "").startswith('{"subjects": [{')
    picture = task(model_mode="text2image")
    assert (picture.num_frames, picture.num_steps, picture.guidance, picture.shift) == (1, 50, 4.0, 3.0)
    assert (picture.height, picture.width, picture.negative_prompt) == (960, 960, "")
    assert picture.makes_picture
    assert not video.makes_picture


def test_the_same_idea_under_other_names() -> None:
    made = task(
        guidance_scale=2.5,
        num_inference_steps=3,
        num_output_frames=9,
        flow_shift=5.0,
        frames_per_sec=10,
        size="832x480",
    )
    assert (made.guidance, made.num_steps, made.num_frames, made.shift, made.fps) == (2.5, 3, 9, 5.0, 10.0)
    assert (made.height, made.width, made.metadata.aspect_ratio) == (480, 832, "16,9")


@pytest.mark.parametrize(
    ("body", "size"),
    [
        ({"resolution": "480"}, (480, 832)),
        ({"resolution": 480, "aspect_ratio": "9:16"}, (832, 480)),
        ({"resolution": "256p", "aspect_ratio": "4,3"}, (256, 320)),
        ({"resolution": "768", "aspect_ratio": "1,1"}, (1024, 1024)),
        ({"resolution": "64,96"}, (64, 96)),
        ({"height": 64, "width": 96}, (64, 96)),
    ],
)
def test_sizes(body: dict[str, Any], size: tuple[int, int]) -> None:
    made = task(**body)
    assert (made.height, made.width) == size


def test_the_negative_prompt_keeps_the_sentences_unless_told() -> None:
    assert task().metadata.negative == "same"
    assert task(negative_prompt_keep_metadata=False).metadata.negative == "none"
    assert task(negative_metadata_mode="inverse").metadata.negative == "inverse"
    assert task(duration_template=None).metadata.duration is None
    assert task(resolution_template=None).metadata.resolution is None


def test_nvidias_own_file_of_negative_prompts() -> None:
    picture = task(model_mode="text2image", negative_prompt_file="neg_prompts.json", negative_prompt=None)
    assert picture.negative_prompt == task().negative_prompt
    assert task(negative_prompt_file="../defaults/neg_prompts.json") == task()
    with pytest.raises(InvalidField) as caught:
        task(negative_prompt_file="mine.json")
    assert caught.value.field == "negative_prompt_file"


@given(st.integers(2, 400))
def test_frames_are_made_at_the_next_count_that_the_vae_can_make(asked: int) -> None:
    made = task(num_frames=asked, resolution="256")
    assert made.num_output_frames == asked
    assert (made.num_frames - 1) % 4 == 0
    assert 0 <= made.num_frames - asked < 4


@pytest.mark.parametrize(
    ("tier", "most"), [("256", 400), ("480", 300), ("720", 200), ("768", 200), ("64,96", 400), ("624,640", 300)]
)
def test_fewer_frames_of_larger_videos(tier: str, most: int) -> None:
    assert task(resolution=tier, num_frames=most).num_output_frames == most
    with pytest.raises(InvalidField) as caught:
        task(resolution=tier, num_frames=most + 1)
    assert (caught.value.field, caught.value.allowed) == ("num_frames", f"2 to {most}")


def test_a_caption_as_an_object() -> None:
    caption = {"subjects": [], "note": "é"}
    made = task(prompt=caption, negative_prompt=caption)
    assert (json.loads(made.prompt), made.negative_prompt) == (caption, made.prompt)


@pytest.mark.parametrize(
    "field",
    ["enable_sound", "sound_path", "action_path", "domain_name", "raw_action_dim", "wsm", "max_frames", "show_input"],
)
def test_what_is_not_served_yet_is_refused_by_name_and_may_stand_empty(field: str) -> None:
    assert task(**{field: None}) == task()
    with pytest.raises(InvalidField) as caught:
        task(**{field: True})
    assert caught.value.field == field
    assert "does not serve on Cosmos 3" in str(caught.value)


@pytest.mark.parametrize("field", ["enable_sound", "show_control_condition", "show_input", "autoregressive"])
def test_switches_may_be_said_to_be_off_in_a_form_too(field: str) -> None:
    invocation = parse({"prompt": "a", "model_mode": "text2video", field: "false"}, models=[SERVED], strict=False)
    assert getattr(invocation.request, field) is False


@pytest.mark.parametrize("control", ["edge", "blur", "depth", "seg"])
def test_a_control_is_no_task_of_this_model(control: str) -> None:
    with pytest.raises(InvalidField, match="transfer"):
        task(model_mode=None, **{control: {"control_path": "a.mp4"}})


def test_one_frame_and_no_medium_is_a_picture() -> None:
    assert task(model_mode=None, num_frames=1).mode == "text2image"
    assert task(model_mode=None, num_frames=5).mode == "text2video"
