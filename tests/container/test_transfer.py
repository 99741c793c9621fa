"""Transfer over HTTP from the real process, held against diffusers' own pipeline tensor for tensor."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import CPU_THREADS, GUARDRAIL_PARTS, Server, data_url, make_tiny, running_server, sample
from tests.container.library import PROMPT, call_transfer, load_transfer
from tests.container.media import Frames, clip, frames_of_mp4, frames_of_npz, frames_served
from tests.container.stream import streamed
from tests.container.test_videos import cancelled_in, create, wait_until

pytestmark = pytest.mark.model

SMALL = {"resolution": "64,96", "num_steps": 2, "seed": 7, "num_video_frames_per_chunk": 9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny("transfer2.5", tmp_path_factory.mktemp("models") / "transfer2.5")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(folder.parent, tmp_path_factory.mktemp("server")) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="module")
def pipelines(folder: Path) -> Any:
    """The pipeline with one branch, by the branch's name; each is loaded once."""
    import torch

    torch.set_num_threads(CPU_THREADS)
    return cache(lambda branch: load_transfer(folder, branch))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """16 frames of 64x96: two chunks of nine frames, of which they share one."""
    return clip(tmp_path_factory.mktemp("video") / "clip.mp4")


def frames_in(data: bytes) -> Frames:
    frames, *_ = frames_of_mp4(data)
    return frames


def edge_maps(frames: Frames, lower: int = 100, upper: int = 200) -> Frames:
    return np.stack([np.repeat(cv2.Canny(frame, lower, upper)[:, :, None], 3, axis=2) for frame in frames])


def served(server: Server, data: bytes, **body: Any) -> Frames:
    whole = {"prompt": PROMPT, "video_path": data_url(data, "video/mp4"), **SMALL, **body}
    return frames_served(server, whole)


@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_chunk_after_chunk_equals_the_pipeline(server: Server, pipelines: Any, video: bytes, overlap: int) -> None:
    frames = served(server, video, edge={}, num_conditional_frames=overlap)
    assert frames.shape == (16, 64, 96, 3)
    assert frames.std() > 5
    expected = call_transfer(pipelines("edge"), edge_maps(frames_in(video)), num_ar_conditional_frames=overlap)
    np.testing.assert_array_equal(frames, expected)


def test_three_chunks_the_last_of_them_nearly_empty(server: Server, pipelines: Any, tmp_path: Path) -> None:
    data = clip(tmp_path / "long.mp4", num_frames=18)
    frames = served(server, data, edge={"preset_edge_threshold": "very_low"})
    expected = call_transfer(pipelines("edge"), edge_maps(frames_in(data), 20, 50))
    assert expected.shape[0] == 18
    np.testing.assert_array_equal(frames, expected)


def test_shorter_than_a_chunk(server: Server, pipelines: Any, video: bytes) -> None:
    frames = served(server, video, edge={}, max_frames=6)
    expected = call_transfer(pipelines("edge"), edge_maps(frames_in(video))[:6])
    np.testing.assert_array_equal(frames, expected)


def test_one_frame(server: Server, pipelines: Any, video: bytes) -> None:
    frames = served(server, video, edge={}, max_frames=1)
    # Without an overlap the bare pipeline can do it too; with one it makes no chunk and fails.
    expected = call_transfer(pipelines("edge"), edge_maps(frames_in(video))[:1], num_ar_conditional_frames=0)
    np.testing.assert_array_equal(frames, expected)


def test_blur_has_a_branch_of_its_own(server: Server, pipelines: Any, video: bytes) -> None:
    from cosmos_handler.families.transfer.maps import blurred  # held against NVIDIA's arithmetic in its own test

    frames = served(server, video, vis={"preset_blur_strength": "low"}, max_frames=9)
    maps = np.stack([blurred(frame, "low") for frame in frames_in(video)[:9]])
    np.testing.assert_array_equal(frames, call_transfer(pipelines("blur"), maps))
    assert not np.array_equal(frames, call_transfer(pipelines("edge"), maps))


@pytest.mark.parametrize(("control", "interpolation"), [("depth", cv2.INTER_LINEAR), ("seg", cv2.INTER_NEAREST)])
def test_maps_that_are_given(
    server: Server, pipelines: Any, video: bytes, tmp_path: Path, control: str, interpolation: int
) -> None:
    data = clip(tmp_path / "map.mp4", num_frames=9, height=96, width=144)
    body = {control: {"control_path": data_url(data, "video/mp4"), "control_weight": 0.5}, "max_frames": 9}
    frames = served(server, video, **body)
    maps = np.stack([cv2.resize(frame, (96, 64), interpolation=interpolation) for frame in frames_in(data)])
    expected = call_transfer(pipelines(control), maps, controls_conditioning_scale=0.5)
    np.testing.assert_array_equal(frames, expected)
    assert not np.array_equal(frames, call_transfer(pipelines(control), maps))


def test_the_input_is_made_smaller_and_the_video_large_again(server: Server, pipelines: Any, tmp_path: Path) -> None:
    data = clip(tmp_path / "large.mp4", num_frames=9, height=130, width=180)
    frames = served(server, data, edge={})
    small = np.stack([cv2.resize(frame, (96, 64), interpolation=cv2.INTER_AREA) for frame in frames_in(data)])
    expected = call_transfer(pipelines("edge"), edge_maps(small))
    large = [cv2.resize(frame, (180, 130), interpolation=cv2.INTER_LANCZOS4) for frame in expected]
    np.testing.assert_array_equal(frames, np.stack(large))
    np.testing.assert_array_equal(served(server, data, edge={}, keep_input_resolution=False), expected)


def test_guidance_negative_prompt_and_aliases_reach_the_pipeline(server: Server, pipelines: Any, video: bytes) -> None:
    maps = edge_maps(frames_in(video))[:9]
    frames = served(server, video, edge={}, max_frames=9, guidance_scale=5, negative_prompt="dark")
    expected = call_transfer(pipelines("edge"), maps, guidance_scale=5.0, negative_prompt="dark")
    np.testing.assert_array_equal(frames, expected)
    frames = served(server, video, edge={}, max_frames=9, guidance=1)
    np.testing.assert_array_equal(frames, call_transfer(pipelines("edge"), maps, guidance_scale=1.0))


def test_what_the_answer_carries(server: Server, video: bytes) -> None:
    body = {"name": "my clip", "prompt": PROMPT, "video_path": data_url(video, "video/mp4"), "edge": {}, **SMALL}
    answer = server.invoke(body).json()
    assert (answer["name"], answer["model"], answer["seed"]) == ("my clip", "transfer2.5", 7)
    assert (answer["num_output_frames"], answer["height"], answer["width"], answer["fps"]) == (16, 64, 96, 8.0)
    assert answer["guidance_usual"] == 4.0
    assert answer["plan"] == dict.fromkeys(
        (
            *("text_encoder", "transformer", "tokenizer", *GUARDRAIL_PARTS),
            *("control_edge", "control_vis", "control_depth", "control_seg"),
        ),
        "resident",
    )
    stages = {"guard_prompt", "control", "encode_media", "denoise", "decode", "guard_frames", "encode_video"}
    assert set(answer["stage_seconds"]) - {"encode_text"} == stages  # a prompt that was here before is not encoded


def test_progress_counts_the_steps_of_all_chunks(server: Server, video: bytes) -> None:
    body = {"prompt": PROMPT, "video_path": data_url(video, "video/mp4"), "edge": {}, **SMALL}
    with streamed(server, body) as heard:
        events = [data for _, data in heard]
    steps = [(event["step"], event["num_steps"]) for event in events if event.get("stage") == "denoise"]
    assert list(dict.fromkeys(steps)) == [(step, 4) for step in range(5)]
    assert events[-1]["media_type"] == "video/mp4"


def test_a_job_is_cancelled_in_the_middle_of_its_second_chunk(server: Server, video: bytes) -> None:
    small = SMALL | {"num_steps": 30, "num_video_frames_per_chunk": 5}  # four chunks
    body = {"prompt": PROMPT, "video_path": data_url(video, "video/mp4"), "edge": {}, **small}
    job = create(server, body)
    done, last = cancelled_in(server, job["id"], "denoise", from_step=35)
    assert 35 <= done <= last <= done + 2 < 120
    assert wait_until(server, job["id"], "cancelled")["error"] is None


@pytest.mark.parametrize("control", ["edge", "vis", "depth", "seg"])
def test_nvidias_videos_in_nvidias_json(server: Server, control: str) -> None:
    older = json.loads(sample(f"transfer1/single_control_{control}.json").read_text())
    paths = {"video_path": "assets/robot_input.mp4", "control_path": f"assets/{control}/robot_{control}.mp4"}
    body = {
        "name": f"robot_{control}",
        "prompt": older["prompt"],
        "video_path": paths["video_path"],
        "guidance": 3,
        control: {"control_path": paths["control_path"], "control_weight": 1.0},
        "resolution": "64,80",
        "num_steps": 1,
    }
    files = {
        "request": (None, json.dumps(body).encode(), "application/json"),
        paths["video_path"]: ("in.mp4", sample("transfer1/example1_input_video.mp4").read_bytes(), "video/mp4"),
        paths["control_path"]: ("map.mp4", sample(f"transfer1/example1_{control}.mp4").read_bytes(), "video/mp4"),
    }
    response = server.client.post("/invocations", files=files, headers={"Accept": "video/mp4"})
    assert response.status_code == 200, response.text
    frames, fps, codec, _ = frames_of_mp4(response.content)
    assert frames.shape == (121, 480, 640, 3)  # two chunks of NVIDIA's 93
    assert (fps, codec) == (30, "h264")
    assert json.loads(response.headers["x-cosmos-result"])["name"] == f"robot_{control}"


def test_an_older_json_computes_its_edges(server: Server) -> None:
    body = json.loads(sample("transfer1/single_control_edge.json").read_text())
    files = {
        "request": (None, json.dumps(body | SMALL | {"max_frames": 9}).encode(), "application/json"),
        body["input_video_path"]: ("in.mp4", sample("transfer1/example1_input_video.mp4").read_bytes(), "video/mp4"),
    }
    response = server.client.post("/invocations", files=files, headers={"Accept": "application/x-npz"})
    assert response.status_code == 200, response.text
    assert frames_of_npz(response.content).shape == (9, 480, 640, 3)


def test_a_form_carries_the_video_and_the_map_as_files(server: Server, video: bytes, tmp_path: Path) -> None:
    maps = clip(tmp_path / "map.mp4", num_frames=16, height=48, width=64)
    form = {"prompt": PROMPT, "edge[control_weight]": "0.5", **{name: str(value) for name, value in SMALL.items()}}
    files = {
        "video_path": ("in.mp4", video, "video/mp4"),
        "edge[control_path]": ("map.mp4", maps, "video/mp4"),
    }
    response = server.client.post("/invocations", data=form, files=files, headers={"Accept": "application/x-npz"})
    assert response.status_code == 200, response.text
    expected = served(server, video, edge={"control_path": data_url(maps, "video/mp4"), "control_weight": 0.5})
    np.testing.assert_array_equal(frames_of_npz(response.content), expected)


def test_the_list_of_models_shows_the_controls(server: Server) -> None:
    (model,) = server.client.get("/v1/models").json()["data"]
    assert (model["tasks"], model["controls"]) == (["transfer"], ["edge", "vis", "depth", "seg"])


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"depth": {}}, "depth.control_path", "a depth map is not computed here"),
        ({"seg": {}}, "seg.control_path", "a seg map is not computed here"),
        ({"edge": {}, "depth": {}}, "depth", "one control at a time"),
        ({}, "edge", "allowed: edge, vis, depth, seg"),
        ({"edge": {}, "image_context_path": "x"}, "image_context_path", "takes no picture for the style"),
        ({"edge": {}, "num_video_frames_per_chunk": 12}, "num_video_frames_per_chunk", "5 to 125"),
        ({"edge": {}, "seconds": 2}, "seconds", "max_frames"),
        ({"edge": {}, "inference_type": "text2world"}, "inference_type", "transfer2.5: transfer"),
    ],
)
def test_faults_name_the_field(server: Server, video: bytes, body: dict[str, Any], field: str, said: str) -> None:
    whole = {"prompt": PROMPT, "video_path": data_url(video, "video/mp4"), **body}
    response = server.invoke(whole)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["field"] == field
    assert said in response.json()["error"]["message"]


def test_a_checkpoint_with_one_branch_tells_which(
    folder: Path, video: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("plain")
    plain = root / "transfer-edge"
    plain.mkdir()
    for part in folder.iterdir():
        if part.name != "controlnet":
            (plain / part.name).symlink_to(part)
    (plain / "controlnet").symlink_to(folder / "controlnet/edge")
    with running_server(root, tmp_path_factory.mktemp("plain-server")) as server:
        server.wait_until_ready()
        frames = served(server, video, edge={}, max_frames=5)
        assert frames.shape == (5, 64, 96, 3)
        response = server.invoke({"prompt": PROMPT, "video_path": data_url(video, "video/mp4"), "vis": {}})
        assert response.status_code == 400
        assert response.json()["error"]["message"].endswith("no branch for (allowed: edge)")
