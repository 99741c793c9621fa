"""Long videos over HTTP, held against diffusers' own pipeline called chunk by chunk."""

import json
import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.conftest import CPU_THREADS, Server, data_url
from tests.container.library import PROMPT, load_predict
from tests.container.media import Frames, clip, frames_of_mp4, frames_of_npz, png

pytestmark = pytest.mark.model

LONG = {"prompt": PROMPT, "resolution": "64,96", "num_steps": 2, "seed": 7, "enable_autoregressive": True}


@pytest.fixture(scope="module")
def pipeline(tiny_models: Path) -> Any:
    import torch

    torch.set_num_threads(CPU_THREADS)
    return load_predict(tiny_models / "predict2.5")


def chunk_by_chunk(pipeline: Any, *, count: int, size: int, overlap: int, **start: Any) -> Frames:
    """What a user of diffusers would write: each call goes on from the last frames of the one before."""
    import torch

    frames: list[Image.Image] = []
    for number in range(count):
        result = pipeline(
            prompt=PROMPT,
            height=64,
            width=96,
            num_frames=size,
            num_inference_steps=2,
            generator=torch.Generator("cpu").manual_seed(7 + number),
            output_type="pil",
            **start,
        )
        made = result.frames[0]
        frames += made[overlap:] if frames else made
        start = {"video": made[-overlap:], "num_latent_conditional_frames": {1: 1, 5: 2}[overlap]}
    return np.stack([np.asarray(frame) for frame in frames])


def served(server: Server, **body: Any) -> tuple[Frames, dict[str, Any]]:
    response = server.invoke({**LONG, **body}, accept="application/x-npz")
    assert response.status_code == 200, response.text
    return frames_of_npz(response.content), json.loads(response.headers["x-cosmos-result"])


@pytest.mark.parametrize(("overlap", "asked", "count"), [(1, 20, 3), (5, 18, 4)])
def test_words_become_a_long_video(server: Server, pipeline: Any, overlap: int, asked: int, count: int) -> None:
    size = 9
    frames, result = served(server, num_output_frames=asked, chunk_size=size, chunk_overlap=overlap)
    expected = chunk_by_chunk(pipeline, count=count, size=size, overlap=overlap)
    assert len(expected) >= asked > len(expected) - (size - overlap)
    np.testing.assert_array_equal(frames, expected[:asked])
    assert (result["num_output_frames"], result["num_frames_generated"]) == (asked, len(expected))
    stages = {"guard_prompt", "encode_media", "denoise", "decode", "guard_frames", "write_frames"}
    assert set(result["stage_seconds"]) - {"encode_text"} == stages  # a prompt that was here before is not encoded


def test_a_picture_becomes_a_long_video(server: Server, pipeline: Any, tmp_path: Path) -> None:
    (tmp_path / "input.png").write_bytes(png(100, 180))
    picture = data_url((tmp_path / "input.png").read_bytes(), "image/png")
    frames, _ = served(server, image=picture, num_output_frames=9, chunk_size=5)
    image = Image.open(tmp_path / "input.png").convert("RGB")
    np.testing.assert_array_equal(frames, chunk_by_chunk(pipeline, count=2, size=5, overlap=1, image=image))


def test_a_clip_becomes_a_long_video(server: Server, pipeline: Any, tmp_path: Path) -> None:
    data = clip(tmp_path / "clip.mp4")
    frames, _ = served(server, video=data_url(data, "video/mp4"), num_output_frames=13, chunk_size=9, chunk_overlap=5)
    source, *_ = frames_of_mp4(data)
    video = [Image.fromarray(frame) for frame in source]
    np.testing.assert_array_equal(frames, chunk_by_chunk(pipeline, count=2, size=9, overlap=5, video=video))


def test_fewer_frames_than_a_chunk_are_its_first(server: Server, pipeline: Any) -> None:
    frames, _ = served(server, num_output_frames=3, chunk_size=5)
    np.testing.assert_array_equal(frames, chunk_by_chunk(pipeline, count=1, size=5, overlap=1)[:3])


def test_progress_counts_the_steps_of_all_chunks(server: Server) -> None:
    body = {**LONG, "num_output_frames": 9, "chunk_size": 5}
    steps = []
    with server.client.stream("POST", "/invocations", json=body, headers={"Accept": "text/event-stream"}) as response:
        for line in response.iter_lines():
            if line.startswith("data: ") and '"denoise"' in line and '"step"' in line:
                data = json.loads(line.removeprefix("data: "))
                steps.append((data["step"], data["num_steps"]))
    # The second chunk begins, and goes on when what it begins with is encoded.
    assert steps == [(0, 4), (1, 4), (2, 4), (2, 4), (2, 4), (3, 4), (4, 4)]


def test_a_later_chunk_is_cancelled_within_a_step(server: Server) -> None:
    body = {**LONG, "num_output_frames": 400, "chunk_size": 5, "chunk_overlap": 1}
    job_id = ""
    with server.client.stream("POST", "/invocations", json=body, headers={"Accept": "text/event-stream"}) as response:
        for line in response.iter_lines():
            if not line.startswith("data: "):
                continue
            data = json.loads(line.removeprefix("data: "))
            job_id = data["job_id"]
            if data.get("stage") == "denoise" and data["step"] >= 7:  # in the fourth of a hundred chunks
                break
    deadline = time.monotonic() + 60
    mark = f"job {job_id} cancelled in "
    while mark not in server.log:
        assert time.monotonic() < deadline, server.log[-2000:]
        time.sleep(0.05)
    stage, step = server.log.partition(mark)[2].splitlines()[0].split(" after step ")
    assert stage in ("denoise", "decode")
    assert int(step) < 200
    assert served(server, num_output_frames=5, chunk_size=5)[0].shape == (5, 64, 96, 3)  # the model is free again


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"enable_autoregressive": True, "chunk_overlap": 2}, "chunk_overlap"),
        ({"enable_autoregressive": True, "chunk_size": 12}, "chunk_size"),
        ({"chunk_size": 5}, "chunk_size"),
    ],
)
def test_what_makes_no_sense_is_named(server: Server, body: dict[str, Any], field: str) -> None:
    response: httpx2.Response = server.invoke({"prompt": PROMPT, "num_output_frames": 20, **body})
    assert response.status_code == 400
    assert response.json()["error"]["field"] == field
