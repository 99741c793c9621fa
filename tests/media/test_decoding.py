"""The real decoding process on whole files: which frames come out, and which way up."""

import asyncio
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.decoding import decode
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.wanted import LastFrames, SampledFrames, Wanted, WantedImage
from tests.media.makers import frame_numbers, image_bytes, write_video

SAMPLES = Path(__file__).parents[2].parent / "shared" / "data"
RED, BLUE = (220, 30, 30), (30, 30, 220)


def decoded(source: Path, wanted: Wanted, tmp_path: Path) -> MediaFile:
    output = tmp_path / "frames.npy"
    found = asyncio.run(decode(source, output, wanted, field="media", limits=MediaLimits()))
    assert found.path == str(output)
    assert found.frames().shape == (found.num_frames, found.height, found.width, 3)
    assert not list(tmp_path.glob("*.partial"))
    return found


def decoded_image(data: bytes, tmp_path: Path) -> MediaFile:
    source = tmp_path / "source"
    source.write_bytes(data)
    found = decoded(source, WantedImage(), tmp_path)
    assert (found.kind, found.num_frames, found.source_num_frames, found.indices) == ("image", 1, 1, (0,))
    assert found.source_fps is None
    return found


def two_halves() -> Image.Image:
    """Red on the left, blue on the right; 16 rows, 32 columns."""
    image = Image.new("RGB", (32, 16), BLUE)
    image.paste(RED, (0, 0, 16, 16))
    return image


@pytest.mark.parametrize(("name", "options"), [("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {"lossless": True})])
def test_an_image_is_one_frame(name: str, options: dict[str, object], tmp_path: Path) -> None:
    found = decoded_image(image_bytes(two_halves(), name, **options), tmp_path)
    assert (found.height, found.width) == (16, 32)
    frame = found.frames()[0].astype(int)
    assert np.abs(frame[:, :12] - RED).max() < 8
    assert np.abs(frame[:, 20:] - BLUE).max() < 8


def test_an_image_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise: left becomes top
    found = decoded_image(image_bytes(two_halves(), "JPEG", quality=95, exif=exif), tmp_path)
    assert (found.height, found.width) == (32, 16)
    frame = found.frames()[0].astype(int)
    assert np.abs(frame[:12] - RED).max() < 8
    assert np.abs(frame[20:] - BLUE).max() < 8


def test_of_a_phone_s_several_pictures_the_first_counts(tmp_path: Path) -> None:
    data = image_bytes(two_halves(), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8), RED)])
    assert data.startswith(b"\xff\xd8\xff")  # begins as a JPEG and is one to all who send it
    found = decoded_image(data, tmp_path)
    assert (found.height, found.width) == (16, 32)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_any_kind_of_pixels_becomes_rgb(mode: str, tmp_path: Path) -> None:
    image = Image.new("L", (8, 8), 255).convert(mode)
    assert (decoded_image(image_bytes(image, "PNG"), tmp_path).frames() == 255).all()


def test_sixteen_bits_of_grey_keep_their_range(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    frame = decoded_image(image_bytes(Image.fromarray(ramp), "PNG"), tmp_path).frames()[0]
    assert np.array_equal(frame, np.repeat(np.arange(256).reshape(16, 16, 1), 3, axis=2))


VIDEOS = [
    ("libx264", "mp4"),
    ("libx264", "mkv"),
    ("mpeg4", "mov"),
    ("libvpx-vp9", "webm"),
    ("libx265", "mp4"),
    ("libsvtav1", "mp4"),
]


@pytest.mark.parametrize(("codec", "suffix"), VIDEOS)
def test_the_last_frames_are_kept(codec: str, suffix: str, tmp_path: Path) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    source = write_video(tmp_path / f"source.{suffix}", codec=codec, size=(64, 96))
    found = decoded(source, LastFrames(5), tmp_path)
    assert (found.kind, found.height, found.width) == ("video", 64, 96)
    assert (found.source_num_frames, found.source_fps) == (12, pytest.approx(10, rel=0.01))
    assert found.indices == (7, 8, 9, 10, 11)
    assert frame_numbers(found.frames()) == [7, 8, 9, 10, 11]


def test_sampled_frames_are_the_ones_at_the_indices(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", num_frames=25)
    found = decoded(source, SampledFrames(2.0), tmp_path)
    assert found.indices == SampledFrames(2.0).indices(25, 10) == (0, 6, 12, 18, 24)
    assert frame_numbers(found.frames()) == [0, 6, 12, 18, 24]


def test_a_video_of_one_frame_is_a_video(tmp_path: Path) -> None:
    found = decoded(write_video(tmp_path / "source.mp4", num_frames=1), SampledFrames(2.0), tmp_path)
    assert (found.kind, found.num_frames, found.indices) == ("video", 1, (0,))


@pytest.mark.parametrize("size", [(47, 63), (50, 70)])
def test_sizes_that_are_no_multiple_of_anything_work(size: tuple[int, int], tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mkv", size=size, pix_fmt="yuv444p")
    found = decoded(source, LastFrames(2), tmp_path)
    assert (found.height, found.width) == size
    assert frame_numbers(found.frames()) == [10, 11]


def test_a_video_is_turned_as_its_header_says(tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_image(two_halves())))
        container.mux(stream.encode(None))
    data = bytearray(source.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    # What a phone writes when held upright: show it turned clockwise, so that left becomes top.
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    source.write_bytes(data)
    found = decoded(source, LastFrames(1), tmp_path)
    assert (found.height, found.width) == (32, 16)
    frame = found.frames()[0].astype(int)
    assert np.abs(frame[:12] - RED).max() < 25
    assert np.abs(frame[20:] - BLUE).max() < 25


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_frames_are_counted_by_decoding_where_the_container_lies(suffix: str, tmp_path: Path) -> None:
    source = write_video(tmp_path / f"source.{suffix}", num_frames=12, junk_at=(3, 7))
    with av.open(str(source)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 12
    found = decoded(source, LastFrames(10), tmp_path)
    assert (found.source_num_frames, found.indices) == (10, tuple(range(10)))
    assert frame_numbers(found.frames()) == [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]


def test_a_video_that_breaks_off_is_as_long_as_what_is_there(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mkv", num_frames=12)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    found = decoded(source, LastFrames(1), tmp_path)
    assert 1 <= found.source_num_frames < 12
    assert frame_numbers(found.frames()) == [found.source_num_frames - 1]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="NVIDIA's sample inputs are not here")
@pytest.mark.parametrize(
    ("name", "wanted", "shape", "source_fps", "source_num_frames"),
    [
        ("predict2.5/robot_welding.jpg", WantedImage(), (1, 704, 1280, 3), None, 1),
        ("reason/sample.mp4", SampledFrames(4.0), (10, 560, 1008, 3), 4.0, 10),
        ("transfer1/example1_input_video.mp4", LastFrames(5), (5, 480, 640, 3), 30.0, 121),
    ],
)
def test_the_samples_of_nvidia_decode(
    name: str,
    wanted: Wanted,
    shape: tuple[int, ...],
    source_fps: float | None,
    source_num_frames: int,
    tmp_path: Path,
) -> None:
    found = decoded(SAMPLES / name, wanted, tmp_path)
    assert found.frames().shape == shape
    assert (found.source_fps, found.source_num_frames) == (source_fps, source_num_frames)
    if isinstance(wanted, WantedImage):
        expected = [np.asarray(Image.open(SAMPLES / name).convert("RGB"))]
    else:
        with av.open(str(SAMPLES / name)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        expected = [frames[index] for index in found.indices]
    assert np.array_equal(found.frames(), np.stack(expected))
