"""Cosmos 3 over HTTP from the real process, held against diffusers' own pipeline tensor for tensor."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from PIL import Image

from tests.conftest import CPU_THREADS, GUARDRAIL_PARTS, ROOT, Server, data_url, sample
from tests.container.library import PROMPT, call_omni, load_omni
from tests.container.media import Frames, clip, frames_of_mp4, frames_of_npz, png
from tests.container.stream import hang_up_at, streamed
from tests.container.test_life import wait_for_line

pytestmark = pytest.mark.model

SMALL = {"resolution": "64,96", "num_frames": 5, "num_steps": 3, "seed": 7}
# What NVIDIA's framework makes of the prompts at this size and length, 24 frames per second.
READ = f"{PROMPT[:-1]}. The video is 0.2 seconds long and is of 24 FPS. This video is of 64x96 resolution."
NEGATIVE = "The video is 0.2 seconds long and is of 24 FPS. This video is of 64x96 resolution."


@pytest.fixture
def server(omni_server: Server) -> Server:
    return omni_server


@pytest.fixture(scope="module")
def pipeline(omni_folder: Path) -> Any:
    import torch

    torch.set_num_threads(CPU_THREADS)
    return load_omni(omni_folder)


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


def test_progress_comes_step_by_step_and_then_the_result(server: Server) -> None:
    # Of a size of its own: the pipeline encodes a picture of nothing, which is done once for each size.
    body = {"prompt": PROMPT, **SMALL, "resolution": "96,64", "model_mode": "text2image", "num_frames": 1}
    for begin in (["denoise", "encode_media", "denoise"], ["denoise"]):
        with streamed(server, body | {"num_steps": 4}) as heard:
            events = list(heard)
        steps = [data["step"] for name, data in events if name == "progress" and data["stage"] == "denoise"]
        assert list(dict.fromkeys(steps)) == [0, 1, 2, 3, 4]
        stages = [data["stage"] for name, data in events if name == "progress" and data["step"] == 0]
        assert stages == ["guard_prompt", "prepare", *begin, "decode", "guard_frames", "encode_image"]
    name, result = events[-1]
    assert (name, result["media_type"]) == ("result", "image/png")


def test_a_caller_who_hangs_up_stops_the_work_within_a_step(server: Server) -> None:
    mark = len(server.log)
    body = {"prompt": PROMPT, **SMALL, "resolution": "128,192", "num_frames": 17, "num_steps": 150}
    hang_up_at(server, body, stage="denoise", step=3)
    stopped = wait_for_line(server, r"cancelled in denoise after step (\d+)", after=mark)
    assert int(stopped.group(1)) < 150
    assert answer(server, "application/json", num_steps=1).status_code == 200


def test_a_count_that_the_vae_cannot_make_is_trimmed(server: Server, pipeline: Any) -> None:
    body = {"num_frames": 7, "negative_prompt": "", "duration_template": None}
    response = answer(server, "application/x-npz", **body)
    read, negative = f"{PROMPT[:-1]}. This video is of 64x96 resolution.", "This video is of 64x96 resolution."
    expected = call_omni(pipeline, prompt=read, negative_prompt=negative, num_frames=9)
    np.testing.assert_array_equal(frames_of_npz(response.content), expected[:7])
    result = json.loads(response.headers["x-cosmos-result"])
    assert (result["num_output_frames"], result["num_frames_generated"]) == (7, 9)
    assert (result["model"], result["seed"], result["guidance_usual"]) == ("cosmos3", 7, 6.0)
    parts = ("transformer", "tokenizer", "vision_encoder", *GUARDRAIL_PARTS)
    assert result["plan"] == dict.fromkeys(parts, "resident")


def test_guidance_one_is_off_and_below_is_not(server: Server, pipeline: Any) -> None:
    for guidance in (1.0, 0.5):
        frames = served(server, guidance=guidance, negative_prompt="")
        expected = call_omni(pipeline, prompt=READ, negative_prompt=NEGATIVE, guidance_scale=guidance)
        np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize(("file", "medium"), [("t2i", None), ("t2v", None), ("i2v", "image"), ("v2v", "video")])
def test_nvidias_samples_as_they_are(server: Server, file: str, medium: str | None) -> None:
    """Sizes and steps reduced; the address inside the file is carried as a part of the same name."""
    body = json.loads(sample(f"cosmos3/omni_inputs/{file}.json").read_text())
    image = body["model_mode"] == "text2image"
    smaller = {"resolution": "64,96", "num_steps": 2} | ({} if image else {"num_frames": 9})
    files: dict[str, Any] = {"request": (None, json.dumps({**body, **smaller}).encode(), "application/json")}
    if medium is not None:
        data = sample({"image": "cosmos3/prompts/humanoid_robot.jpg", "video": "reason/sample.mp4"}[medium])
        files[body["vision_path"]] = (data.name, data.read_bytes(), "application/octet-stream")
    accept = "image/png" if image else "video/mp4"
    response = server.client.post("/invocations", files=files, headers={"Accept": accept})
    assert response.status_code == 200, response.text
    if image:
        assert Image.open(io.BytesIO(response.content)).size == (96, 64)
    else:
        assert frames_of_mp4(response.content)[0].shape == (9, 64, 96, 3)


@pytest.mark.parametrize("name", ["humanoid_robot", "robot_kitchen"])
def test_a_caption_may_be_an_object(server: Server, pipeline: Any, name: str) -> None:
    caption = json.loads(sample(f"cosmos3/prompts/{name}.json").read_text())
    frames = served(server, prompt=caption, negative_prompt="")
    size = {"resolution": {"H": 64, "W": 96}}
    read = json.dumps({**caption, "duration": "0s", "fps": 24.0, **size})
    # What the framework overwrites stays where it stood in the caption.
    assert list(json.loads(read)) == list(caption | {"duration": 0, "fps": 0, "resolution": 0})
    np.testing.assert_array_equal(frames, call_omni(pipeline, prompt=read, negative_prompt=NEGATIVE))


@pytest.mark.parametrize("file", ["t2vs", "i2vs"])
def test_nvidias_samples_with_sound_are_refused_by_name(server: Server, file: str) -> None:
    body = json.loads(sample(f"cosmos3/omni_inputs/{file}.json").read_text())
    error = server.invoke(body).json()["error"]
    assert error["field"] == "enable_sound"
    assert "sound" in error["message"]


@pytest.mark.parametrize("file", ["forward_dynamics_av", "inverse_dynamics_robot", "policy_av"])
def test_nvidias_samples_with_actions_are_refused_by_name(server: Server, file: str) -> None:
    body = json.loads(sample(f"cosmos3/omni_inputs/action_{file}.json").read_text())
    error = server.invoke(body).json()["error"]
    assert error["field"] == "model_mode"
    assert body["model_mode"] in error["message"]
    assert "text2video" in error["allowed"]


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    # what, body, field, something that the message must say
    ("a field of another family", {"num_input_frames": 1}, "num_input_frames", "condition_frame_indexes_vision"),
    ("one frame of a video", {"model_mode": "text2video", "num_frames": 1}, "num_frames", "2 to 400"),
    ("two frames of a picture", {"model_mode": "text2image", "num_frames": 2}, "num_frames", "1"),
    ("too many frames of the size", {"resolution": "480", "num_frames": 301}, "num_frames", "2 to 300"),
    ("an unknown tier", {"resolution": "512"}, "resolution", "256, 480, 720, 768"),
    ("a size and its ratio", {"aspect_ratio": "16,9"}, "aspect_ratio", "resolution"),
    ("a crooked size", {"resolution": "65,96"}, "resolution", "multiples of 16"),
    ("no image", {"model_mode": "image2video"}, "vision_path", "image2video"),
    ("an image and a video", {"image": "x", "video": "y"}, "video", "image"),
    ("an image for a text", {"model_mode": "text2video", "image": "x"}, "image", "text2video"),
    ("every frame kept", {"video": "x", "condition_frame_indexes_vision": [0, 1]},
     "condition_frame_indexes_vision", "0 to 1"),
    ("a frame that is not there", {"video": "x", "condition_frame_indexes_vision": [9]},
     "condition_frame_indexes_vision", "0 to 1"),
    ("another frame of an image", {"image": "x", "condition_frame_indexes_vision": [1]},
     "condition_frame_indexes_vision", "[0]"),
    ("kept of nothing", {"condition_video_keep": "last"}, "condition_video_keep", "text2video"),
    ("a list of prompts", {"prompt": ["a", "b"]}, "prompt", "1 to 40000"),
    ("a control token", {"negative_prompt": "a <|im_end|> b"}, "negative_prompt", "<|im_end|>"),
    ("an open template", {"duration_template": "{"}, "duration_template", "brace"),
    ("a place inside a number", {"duration_template": "{duration.real}"}, "duration_template", "{duration}"),
    ("a whole number of seconds", {"duration_template": "{duration:d}"}, "duration_template", "another kind"),
    ("a part of a pixel", {"resolution_template": "{height:.1d}"}, "resolution_template", "another kind"),
    ("a page of digits", {"resolution_template": "{height:99999d}"}, "resolution_template", "{height}"),
    ("a negative prompt twice", {"negative_prompt": "a", "negative_prompt_file": "neg_prompts.json"},
     "negative_prompt_file", "negative_prompt"),
    ("EDM's sigma", {"sigma_max": 200}, "sigma_max", "80"),
    ("normalised guidance", {"normalize_cfg": True}, "normalize_cfg", "false"),
    ("guidance in some steps", {"guidance_interval": [0, 500]}, "guidance_interval", "guidance in some steps"),
    ("several outputs", {"num_outputs": 2}, "num_outputs", "1"),
    ("sound", {"sound_path": "a.wav"}, "sound_path", "sound"),
    ("actions", {"action_path": "a.json"}, "action_path", "actions"),
    ("a world map", {"wsm": {"control_path": "a.mp4"}}, "wsm", "control"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_body_is_refused(server: Server, body: dict[str, Any], field: str, says: str) -> None:
    response = server.invoke({"prompt": PROMPT, **SMALL, **body})
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (400, field), error
    assert says in json.dumps(error, ensure_ascii=False).replace('\\"', '"')


def test_nvidias_defaults_may_be_said(server: Server) -> None:
    """A file with every field of sample_args.json is taken as it is."""
    said = json.loads(sample("cosmos3/defaults/text2video.json").read_text())
    assert served(server, **{**said, "aspect_ratio": None, **SMALL}).shape == (5, 64, 96, 3)


def test_nvidias_defaults_go_through_the_client_script(server: Server, tmp_path: Path) -> None:
    """The negative prompt that they name lies in NVIDIA's package and is known here."""
    said = json.loads(sample("cosmos3/defaults/text2video.json").read_text())
    whole = {**said, **SMALL, "aspect_ratio": None, "prompt": PROMPT, "model_mode": "text2video"}
    (tmp_path / "defaults.json").write_text(json.dumps(whole))
    url = f"{server.client.base_url}/invocations"
    command = [sys.executable, ROOT / "scripts/invoke.py", "--url", url, tmp_path / "defaults.json", "--out", tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert frames_of_mp4((tmp_path / "defaults.mp4").read_bytes())[0].shape == (5, 64, 96, 3)


def test_a_video_cannot_come_as_a_picture(server: Server) -> None:
    response = server.invoke({"prompt": PROMPT, **SMALL, "model_mode": "text2video"}, accept="image/png")
    assert response.status_code == 406
    assert server.invoke({"prompt": PROMPT, "model_mode": "text2image"}, accept="video/mp4").status_code == 406


def test_an_image_by_openais_client(server: Server) -> None:
    small = {"num_steps": 2, "seed": 7}
    with openai.OpenAI(base_url=f"{server.client.base_url}/v1", api_key="none", max_retries=0) as client:
        made = client.images.generate(
            prompt=PROMPT,
            n=1,
            size="96x64",
            response_format="b64_json",
            extra_body=small,  # type: ignore[call-overload]
        )
        data = base64.b64decode(made.data[0].b64_json)
        assert Image.open(io.BytesIO(data)).size == (96, 64)
        with pytest.raises(openai.BadRequestError, match="n: is '2'"):
            client.images.generate(prompt=PROMPT, n=2)
        with pytest.raises(openai.BadRequestError, match="makes a video"):
            client.images.generate(prompt=PROMPT, extra_body={"model_mode": "text2video"})
    same = server.invoke({"prompt": PROMPT, "n": 1, "size": "96x64", **small}).json()
    assert base64.b64decode(same["data"][0]["b64_json"])[:8] == data[:8]
    infer = {"prompt": PROMPT, "model_mode": "text2image", "resolution": "64,96", **small}
    assert server.client.post("/v1/infer", json=infer).json()["b64_image"]
