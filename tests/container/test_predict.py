"""Videos over HTTP from the real process, held against diffusers' own pipeline tensor for tensor."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import CPU_THREADS, GUARDRAIL_PARTS, Server, data_url, sample
from tests.container.library import PROMPT, call_predict, load_predict
from tests.container.media import Frames, clip, frames_of_mp4, frames_of_npz, frames_served, png
from tests.container.stream import streamed

pytestmark = pytest.mark.model

SMALL = {"resolution": "64,96", "num_output_frames": 5, "num_steps": 3, "seed": 7}


@pytest.fixture(scope="module")
def pipeline(tiny_models: Path) -> Any:
    import torch

    torch.set_num_threads(CPU_THREADS)
    return load_predict(tiny_models / "predict2.5")


def served(server: Server, **body: Any) -> Frames:
    return frames_served(server, {"prompt": PROMPT, **SMALL, **body})


def test_text2world_equals_the_pipeline(server: Server, pipeline: Any) -> None:
    frames = served(server, inference_type="text2world")
    assert frames.shape == (5, 64, 96, 3)
    assert frames.std() > 5
    np.testing.assert_array_equal(frames, call_predict(pipeline))


def test_image2world_equals_the_pipeline(server: Server, pipeline: Any) -> None:
    picture = png(100, 180)
    frames = served(server, inference_type="image2world", input_path=data_url(picture, "image/png"))
    (folder := server.log_path.parent / "direct").mkdir(exist_ok=True)
    (folder / "input.png").write_bytes(picture)
    np.testing.assert_array_equal(frames, call_predict(pipeline, image=Image.open(folder / "input.png").convert("RGB")))


@pytest.mark.parametrize("latent_frames", [1, 2])
def test_video2world_equals_the_pipeline(server: Server, pipeline: Any, tmp_path: Path, latent_frames: int) -> None:
    data = clip(tmp_path / "clip.mp4")
    frames = served(
        server, inference_type="video2world", video=data_url(data, "video/mp4"), num_input_frames=latent_frames,
        num_output_frames=9,
    )  # fmt: skip
    source, *_ = frames_of_mp4(data)
    video = [Image.fromarray(frame) for frame in source]
    expected = call_predict(pipeline, video=video, num_frames=9, num_latent_conditional_frames=latent_frames)
    np.testing.assert_array_equal(frames, expected)


def test_guidance_negative_prompt_and_aliases_reach_the_pipeline(server: Server, pipeline: Any) -> None:
    frames = served(server, inference_type="text2world", guidance_scale=3.5, negative_prompt="dark")
    np.testing.assert_array_equal(frames, call_predict(pipeline, guidance_scale=3.5, negative_prompt="dark"))
    assert not np.array_equal(frames, served(server, inference_type="text2world"))


def test_guidance_off(server: Server, pipeline: Any) -> None:
    np.testing.assert_array_equal(served(server, guidance=1.0), call_predict(pipeline, guidance_scale=1.0))


def test_a_count_that_the_vae_cannot_make_is_trimmed(server: Server, pipeline: Any) -> None:
    body = {"prompt": PROMPT, **SMALL, "num_output_frames": 7}
    response = server.invoke(body, accept="application/x-npz")
    frames = frames_of_npz(response.content)
    np.testing.assert_array_equal(frames, call_predict(pipeline, num_frames=9)[:7])
    result = json.loads(response.headers["x-cosmos-result"])
    assert (result["num_output_frames"], result["num_frames_generated"]) == (7, 9)


def test_one_frame_is_a_picture(server: Server, pipeline: Any) -> None:
    np.testing.assert_array_equal(served(server, num_output_frames=1), call_predict(pipeline, num_frames=1))


def test_nvidias_picture_becomes_a_playable_video(server: Server) -> None:
    picture = sample("predict2.5/robot_welding.jpg").read_bytes()
    prompt = sample("predict2.5/robot_welding.txt").read_text()
    body = {
        "inference_type": "image2world",
        "prompt": prompt,
        "input_path": data_url(picture, "image/jpeg"),
        "resolution": "96,160",
        "num_output_frames": 12,
        "num_steps": 2,
        "fps": 10,
    }
    response = server.invoke(body, accept="video/mp4")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "video/mp4"
    frames, fps, codec, metadata = frames_of_mp4(response.content)
    assert frames.shape == (12, 96, 160, 3)
    assert (fps, codec) == (10, "h264")
    job_id = response.headers["x-cosmos-job-id"]
    assert json.loads(metadata["comment"])["job_id"] == job_id
    assert json.loads(metadata["comment"])["model"] == "predict2.5"
    assert json.loads(metadata["comment"])["guidance_usual"] == 8.0


def test_what_every_answer_carries(server: Server) -> None:
    prompt = "A prompt of its own."  # one that was here before is not encoded
    response = server.invoke({"prompt": prompt, **SMALL, "name": "my clip"}, accept="application/json")
    answer = response.json()
    assert answer["job_id"] == response.headers["x-cosmos-job-id"]
    assert answer["name"] == "my clip"
    assert (answer["model"], answer["seed"], answer["device"]) == ("predict2.5", 7, "cpu")
    assert answer["revision"].startswith("files-")
    assert answer["guidance_usual"] == 8.0  # 7, NVIDIA's default, in the words of those who count from 1
    parts = ("text_encoder", "transformer", "tokenizer", *GUARDRAIL_PARTS)
    assert answer["plan"] == dict.fromkeys(parts, "resident")
    stages = {"guard_prompt", "encode_text", "denoise", "decode", "guard_frames", "encode_video"}
    assert set(answer["stage_seconds"]) == stages
    assert all(seconds > 0 for seconds in answer["stage_seconds"].values())
    assert answer["peak_device_bytes"] > 10**8
    said = {verdict["check"]: verdict["state"] for verdict in answer["guardrails"]}
    assert said == dict.fromkeys(("blocklist", "text_classifier", "content_filter", "face_blur"), "passed")
    assert all(verdict["seconds"] > 0 for verdict in answer["guardrails"] if verdict["state"] == "passed")
    raw = server.invoke({"prompt": PROMPT, **SMALL, "name": "ü" * 64}, accept="video/mp4")
    header = raw.headers["x-cosmos-result"]
    assert len(header) <= 2048
    assert set(json.loads(header)) == set(answer) - {"video", "media_type"}
    assert len(raw.content) == int(raw.headers["content-length"])


def test_a_form_carries_media_as_files(server: Server) -> None:
    picture = png()
    form = {"prompt": PROMPT, "inference_type": "image2world", "resolution": "64,96", "num_output_frames": "5",
            "num_steps": "3", "seed": "7"}  # fmt: skip
    files = {"input_path": ("photo.png", picture, "image/png")}
    response = server.client.post("/invocations", data=form, files=files, headers={"Accept": "application/x-npz"})
    assert response.status_code == 200, response.text
    expected = served(server, inference_type="image2world", image=data_url(picture, "image/png"))
    np.testing.assert_array_equal(frames_of_npz(response.content), expected)


def test_a_form_s_json_finds_the_file_that_it_mentions(server: Server) -> None:
    picture = png()
    whole = {"prompt": PROMPT, "inference_type": "image2world", "input_path": "assets/photo.png", **SMALL}
    files = {
        "request": (None, json.dumps(whole).encode(), "application/json"),
        "assets/photo.png": ("photo.png", picture, "image/png"),
    }
    response = server.client.post("/invocations", files=files, headers={"Accept": "application/x-npz"})
    assert response.status_code == 200, response.text
    expected = served(server, inference_type="image2world", image=data_url(picture, "image/png"))
    np.testing.assert_array_equal(frames_of_npz(response.content), expected)


def test_progress_comes_step_by_step_and_then_the_result(server: Server) -> None:
    with streamed(server, {"prompt": "A prompt for its progress.", **SMALL, "num_steps": 4}) as heard:
        events = list(heard)
    assert events[0][0] == "accepted"
    steps = [data["step"] for name, data in events if name == "progress" and data["stage"] == "denoise"]
    assert steps == [0, 1, 2, 3, 4]
    stages = [data["stage"] for name, data in events if name == "progress" and data["step"] == 0]
    assert stages == ["guard_prompt", "encode_text", "denoise", "decode", "guard_frames", "encode_video"]
    name, result = events[-1]
    assert name == "result"
    assert result["job_id"] == events[0][1]["job_id"]
    assert result["media_type"] == "video/mp4"
