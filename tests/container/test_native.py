"""Checkpoints in NVIDIA's own form, served as they are: frames as converted, and as diffusers makes of that."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import CPU_THREADS, ROOT, Server, data_url, running_server
from tests.container.library import PROMPT, call_predict, load_predict
from tests.container.media import Frames, clip, frames_of_npz, frames_served

pytestmark = pytest.mark.model

SMALL = {"prompt": PROMPT, "resolution": "64,96", "num_output_frames": 5, "num_steps": 3, "seed": 7}


@pytest.fixture(scope="module")
def models(tiny_native: Path, tiny_native_transfer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both checkpoints in both forms, side by side; the native ones without the text encoder."""
    folder = tmp_path_factory.mktemp("forms")
    for native, prefix, names in (
        (tiny_native, "", ("base", "tokenizer.pth")),
        (tiny_native_transfer, "transfer-", ("general", "tokenizer.pth")),
    ):
        subprocess.run(
            [sys.executable, ROOT / "scripts/convert.py", native, folder / f"{prefix}converted"],
            check=True,
            capture_output=True,
        )
        (folder / f"{prefix}native").mkdir()
        for name in names:
            (folder / f"{prefix}native" / name).symlink_to(native / name)
    return folder


@pytest.fixture(scope="module")
def server(models: Path, tiny_native: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    elsewhere = {"COSMOS_TEXT_ENCODER_DIR": str(tiny_native), "COSMOS_GUARDRAIL_DIR": str(tiny_native / "guardrails")}
    with running_server(models, tmp_path_factory.mktemp("server"), **elsewhere) as running:
        running.wait_until_ready()
        yield running


def served(server: Server, model: str, **body: Any) -> Frames:
    return frames_served(server, {"model": model, **SMALL, **body})


def test_native_and_converted_make_the_same_frames(server: Server, tmp_path: Path) -> None:
    video = data_url(clip(tmp_path / "clip.mp4"), "video/mp4")
    for body in ({}, {"inference_type": "video2world", "video": video, "num_output_frames": 9}):
        native = served(server, "native", **body)
        assert native.std() > 5
        np.testing.assert_array_equal(native, served(server, "converted", **body))


def test_native_makes_what_diffusers_makes_of_the_converted_one(server: Server, models: Path) -> None:
    import torch
    from diffusers import AutoencoderKLWan

    torch.set_num_threads(CPU_THREADS)
    pipeline = load_predict(models / "converted")
    # In the type in which the file holds it, as the server loads it; the pipeline was loaded in one type for all.
    pipeline.vae = AutoencoderKLWan.from_pretrained(models / "converted/vae", dtype=torch.float32)
    np.testing.assert_array_equal(served(server, "native"), call_predict(pipeline))


@pytest.mark.parametrize("control", ["edge", "vis"])
def test_native_and_converted_transfer_the_same_frames(server: Server, tmp_path: Path, control: str) -> None:
    video = data_url(clip(tmp_path / "clip.mp4", num_frames=9), "video/mp4")
    body = {
        "prompt": PROMPT, "video_path": video, "resolution": "64,96", "num_steps": 2, "seed": 7,
        "num_video_frames_per_chunk": 9, control: {},
    }  # fmt: skip
    frames = []
    for model in ("transfer-native", "transfer-converted"):
        response = server.invoke({"model": model, **body}, accept="application/x-npz")
        assert response.status_code == 200, response.text
        frames.append(frames_of_npz(response.content))
    assert frames[0].std() > 5
    np.testing.assert_array_equal(*frames)


def test_the_log_says_which_file_is_served(server: Server) -> None:
    assert (
        "native is in NVIDIA's own form: reading base/post-trained/81edfebe-bd6a-4039-8c1d-737df1a790bf" in server.log
    )
