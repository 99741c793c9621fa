"""The mp4 that is written, read back with FFmpeg's own reader."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from cosmos_handler.media.video import write_mp4

# FFmpeg's numbers for BT.709 and for limited range.
BT709, LIMITED = 1, 1


def read_frames(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("num_frames", [1, 2, 29])
@pytest.mark.parametrize(
    ("fps", "rate"), [(16, Fraction(16)), (24000 / 1001, Fraction(24000, 1001)), (12.5, Fraction(25, 2))]
)
def test_count_rate_and_duration_are_right(tmp_path: Path, num_frames: int, fps: float, rate: Fraction) -> None:
    path = tmp_path / "video.mp4"
    write_mp4(path, np.zeros((num_frames, 32, 48, 3), np.uint8), fps=fps, metadata={})
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.codec_context.height, stream.codec_context.width) == (32, 48)
        assert stream.frames == num_frames
        assert stream.average_rate == rate
        assert stream.duration is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(num_frames / rate, abs=1e-4)
        times = [frame.time for frame in container.decode(stream)]
    assert times == pytest.approx([number / float(rate) for number in range(num_frames)], abs=1e-4)


@pytest.mark.parametrize("colour", [(200, 40, 90), (0, 0, 0), (255, 255, 255), (20, 220, 30), (10, 20, 240)])
def test_a_colour_comes_back_and_is_labelled(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    path = tmp_path / "video.mp4"
    frames = np.empty((3, 64, 64, 3), np.uint8)
    frames[...] = colour
    write_mp4(path, frames, fps=24, metadata={})
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (
        BT709,
        LIMITED,
        BT709,
        BT709,
    )
    assert np.abs(read_frames(path).astype(int) - colour).max() <= 3


def test_a_picture_comes_back_nearly_as_it_was(tmp_path: Path) -> None:
    down, across = np.mgrid[0:128, 0:192]
    frames = np.stack([np.stack([across + step, down + step, 255 - across], axis=2) % 256 for step in range(0, 40, 4)])
    frames = np.clip(frames, 0, 255).astype(np.uint8)
    write_mp4(tmp_path / "video.mp4", frames, fps=24, metadata={})
    error = read_frames(tmp_path / "video.mp4").astype(float) - frames
    assert 10 * np.log10(255**2 / (error**2).mean()) > 38  # dB


def test_any_metadata_comes_back(tmp_path: Path) -> None:
    metadata = {"comment": json.dumps({"seed": 7, "prompt": "Schweißroboter ✓ = ; #\n"}), "cosmos_job_id": "abc-1"}
    write_mp4(tmp_path / "video.mp4", np.zeros((1, 16, 16, 3), np.uint8), fps=24, metadata=metadata)
    with av.open(str(tmp_path / "video.mp4")) as container:
        assert {key: container.metadata.get(key) for key in metadata} == metadata


def test_the_index_comes_before_the_pictures(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), dtype=np.uint8)
    write_mp4(tmp_path / "video.mp4", noise, fps=24, metadata={})
    data = (tmp_path / "video.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("frames", "fps"),
    [
        (np.zeros((1, 16, 15, 3), np.uint8), 24),
        (np.zeros((1, 15, 16, 3), np.uint8), 24),
        (np.zeros((0, 16, 16, 3), np.uint8), 24),
        (np.zeros((1, 16, 16, 4), np.uint8), 24),
        (np.zeros((16, 16, 3), np.uint8), 24),
        (np.zeros((1, 16, 16, 3), np.float32), 24),
        (np.zeros((1, 16, 16, 3), np.uint8), 0),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, frames: NDArray[np.uint8], fps: float) -> None:
    with pytest.raises(ValueError, match=r"frames are|fps is"):
        write_mp4(tmp_path / "video.mp4", frames, fps=fps, metadata={})
    assert not (tmp_path / "video.mp4").exists()
