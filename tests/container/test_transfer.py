"""Transfer over HTTP from the real process, held against diffusers' own pipeline tensor for tensor."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import CPU_THREADS, Server, data_url, make_tiny, running_server
from tests.container.library import PROMPT, call_transfer, load_transfer
from tests.container.media import Frames, clip, frames_of_mp4, frames_of_npz

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
    response = server.invoke(whole, accept="application/x-npz")
    assert response.status_code == 200, response.text
    return frames_of_npz(response.content)


@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_chunk_after_chunk_equals_the_pipeline(server: Server, pipelines: Any, video: bytes, overlap: int) -> None:
    frames = served(server, video, edge={}, num_conditional_frames=overlap)
    assert frames.shape == (16, 64, 96, 3)
    assert frames.std() > 5
    expected = call_transfer(pipelines("edge"), edge_maps(frames_in(video)), num_ar_conditional_frames=overlap)
    np.testing.assert_array_equal(frames, expected)
