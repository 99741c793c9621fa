"""What only a GPU can show: the same equality there, and memory that is the device's own."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import data_url, make_tiny, running_server
from tests.container.library import (
    PROMPT,
    call_omni,
    call_predict,
    call_transfer,
    load_omni,
    load_predict,
    load_transfer,
)
from tests.container.media import clip, frames_of_mp4, frames_of_npz

pytestmark = [pytest.mark.gpu, pytest.mark.model]


def test_frames_equal_the_pipeline_on_the_gpu(tiny_models: Path, tmp_path: Path) -> None:
    with running_server(tiny_models / "predict2.5", tmp_path, COSMOS_DEVICES="0") as server:
        server.wait_until_ready()
        body = {"prompt": PROMPT, "resolution": "64,96", "num_output_frames": 5, "num_steps": 3, "seed": 7}
        response = server.invoke(body, accept="application/x-npz")
        assert response.status_code == 200, response.text
        report = server.invoke(body).json()
    expected = call_predict(load_predict(tiny_models / "predict2.5", device="cuda"))
    np.testing.assert_array_equal(frames_of_npz(response.content), expected)
    assert report["device"] != "cpu"
    assert 0 < report["peak_device_bytes"] < 2**30


def test_chunks_equal_the_pipeline_on_the_gpu(tmp_path: Path) -> None:
    folder = make_tiny("transfer2.5", tmp_path / "models" / "transfer2.5")
    maps = clip(tmp_path / "map.mp4")
    with running_server(folder, tmp_path, COSMOS_DEVICES="0") as server:
        server.wait_until_ready()
        body = {
            "prompt": PROMPT, "resolution": "64,96", "num_steps": 2, "seed": 7, "num_video_frames_per_chunk": 9,
            "depth": {"control_path": data_url(maps, "video/mp4")},
        }  # fmt: skip
        response = server.invoke(body, accept="application/x-npz")
        assert response.status_code == 200, response.text
    source, *_ = frames_of_mp4(maps)
    expected = call_transfer(load_transfer(folder, "depth", device="cuda"), source)
    np.testing.assert_array_equal(frames_of_npz(response.content), expected)


def test_cosmos_3_makes_and_answers_the_same_on_the_gpu(tmp_path: Path) -> None:
    folder = make_tiny("cosmos3", tmp_path / "models" / "cosmos3")
    body = {
        "prompt": PROMPT, "resolution": "64,96", "num_frames": 5, "num_steps": 3, "seed": 7, "negative_prompt": "",
        "duration_template": None, "resolution_template": None, "model_mode": "text2video",
    }  # fmt: skip
    asked = {"model_mode": "reasoner", "prompt": "Say something.", "do_sample": False, "max_new_tokens": 12}
    with running_server(folder, tmp_path, COSMOS_DEVICES="0") as server:
        server.wait_until_ready()
        response = server.invoke(body, accept="application/x-npz")
        assert response.status_code == 200, response.text
        answer = server.invoke(asked).json()
    expected = call_omni(load_omni(folder, device="cuda"), prompt=PROMPT, negative_prompt="")
    np.testing.assert_array_equal(frames_of_npz(response.content), expected)
    assert answer["text"].strip()
    assert 0 < answer["peak_device_bytes"] < 2**30
