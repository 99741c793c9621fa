"""Cosmos 3 over HTTP from the real process, held against diffusers' own pipeline tensor for tensor."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.conftest import CPU_THREADS, Server, data_url, make_tiny, running_server
from tests.container.library import PROMPT, call_omni, load_omni
from tests.container.media import Frames, clip, frames_of_mp4, frames_of_npz, png

pytestmark = pytest.mark.model

SMALL = {"resolution": "64,96", "num_frames": 5, "num_steps": 3, "seed": 7}
# What NVIDIA's framework makes of the prompts at this size and length, 24 frames per second.
READ = f"{PROMPT[:-1]}. The video is 0.2 seconds long and is of 24 FPS. This video is of 64x96 resolution."
NEGATIVE = "The video is 0.2 seconds long and is of 24 FPS. This video is of 64x96 resolution."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny("cosmos3", tmp_path_factory.mktemp("cosmos3") / "cosmos3")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(folder, tmp_path_factory.mktemp("server")) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    import torch

    torch.set_num_threads(CPU_THREADS)
    return load_omni(folder)


def answer(server: Server, accept: str, **body: Any) -> httpx2.Response:
    response = server.invoke({"prompt": PROMPT, **SMALL, **body}, accept=accept)
    assert response.status_code == 200, response.text
    return response


def served(server: Server, **body: Any) -> Frames:
    return frames_of_npz(answer(server, "application/x-npz", **body).content)


def test_text2video_equals_the_pipeline(server: Server, pipeline: Any) -> None:
    frames = served(server, model_mode="text2video", negative_prompt="")
    assert frames.shape == (5, 64, 96, 3)
    assert frames.std() > 5
    np.testing.assert_array_equal(frames, call_omni(pipeline, prompt=READ, negative_prompt=NEGATIVE))


def test_the_pipelines_own_way_with_prompts_can_be_had(server: Server, pipeline: Any) -> None:
    frames = served(
        server,
        model_mode="text2world",
        negative_prompt="dark",
        negative_metadata_mode="inverse",
        negative_prompt_keep_metadata=False,
        use_system_prompt=True,
        guidance_scale=2.5,
        flow_shift=4.0,
    )
    library = {"add_resolution_template": True, "add_duration_template": True, "use_system_prompt": True}
    expected = call_omni(pipeline, prompt=PROMPT, negative_prompt="dark", guidance_scale=2.5, shift=4.0, **library)
    np.testing.assert_array_equal(frames, expected)


def test_image2video_equals_the_pipeline(server: Server, pipeline: Any, tmp_path: Path) -> None:
    (tmp_path / "input.png").write_bytes(picture := png(100, 180))
    frames = served(server, model_mode="image2video", vision_path=data_url(picture, "image/png"), negative_prompt="")
    image = Image.open(tmp_path / "input.png").convert("RGB")
    np.testing.assert_array_equal(frames, call_omni(pipeline, prompt=READ, negative_prompt=NEGATIVE, image=image))


@pytest.mark.parametrize(("indexes", "keep"), [(None, None), ([0], "first"), ([0, 1], "last")])
def test_video2video_equals_the_pipeline(
    server: Server, pipeline: Any, tmp_path: Path, indexes: list[int] | None, keep: str | None
) -> None:
    data = clip(tmp_path / "clip.mp4")
    body = {"condition_frame_indexes_vision": indexes, "condition_video_keep": keep, "negative_prompt": ""}
    frames = served(server, vision_path=data_url(data, "video/mp4"), model_mode="video2video", num_frames=13, **body)
    source, *_ = frames_of_mp4(data)
    read = READ.replace("0.2 seconds", "0.5 seconds")
    expected = call_omni(
        pipeline,
        prompt=read,
        negative_prompt=NEGATIVE.replace("0.2 seconds", "0.5 seconds"),
        video=[Image.fromarray(frame) for frame in source],
        condition_frame_indexes_vision=indexes or [0, 1],
        condition_video_keep=keep or "first",
        num_frames=13,
    )
    np.testing.assert_array_equal(frames, expected)


def test_a_clip_of_another_shape_is_cropped_and_not_squeezed(server: Server, pipeline: Any, tmp_path: Path) -> None:
    data = clip(tmp_path / "clip.mp4", height=64, width=192)
    frames = served(
        server, video=data_url(data, "video/mp4"), model_mode="video2video", negative_prompt="", num_frames=9
    )
    source, *_ = frames_of_mp4(data)
    middle = [Image.fromarray(frame[:, 48:144]) for frame in source]
    read, negative = (text.replace("0.2", "0.4") for text in (READ, NEGATIVE))
    expected = call_omni(pipeline, prompt=read, negative_prompt=negative, video=middle, num_frames=9)
    np.testing.assert_array_equal(frames, expected)


def test_text2image_equals_the_pipeline_in_every_form(server: Server, pipeline: Any) -> None:
    body = {"model_mode": "text2image", "num_frames": 1}
    expected = call_omni(
        pipeline,
        prompt=f"{PROMPT[:-1]}. This image is of 64x96 resolution.",
        negative_prompt="This image is of 64x96 resolution.",
        num_frames=1,
        guidance_scale=4.0,
        shift=3.0,
    )
    np.testing.assert_array_equal(served(server, **body), expected)
    raw = answer(server, "image/png", **body)
    assert raw.headers["content-type"] == "image/png"
    shown = Image.open(io.BytesIO(raw.content))
    np.testing.assert_array_equal(np.asarray(shown), expected[0])
    assert json.loads(shown.text["comment"])["job_id"] == raw.headers["x-cosmos-job-id"]  # type: ignore[attr-defined]
    whole = answer(server, "application/json", **body).json()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(whole["image"])))), expected[0])
    assert (whole["media_type"], whole["height"], whole["width"]) == ("image/png", 64, 96)
    assert "fps" not in whole
