"""Inputs that are damaged, of the wrong kind or over a limit, through the real process: class, field, no leftovers."""

import asyncio
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosmos_handler.errors import MediaError, TooLarge
from cosmos_handler.media.decoding import decode
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.wanted import LastFrames, SampledFrames, Wanted, WantedImage
from tests.media.makers import image_bytes, write_video

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
PLAYLIST = b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


def refused(
    source: Path, wanted: Wanted, error: type[MediaError | TooLarge], match: str, limits: MediaLimits | None = None
) -> None:
    folder = source.parent
    with pytest.raises(error, match=match) as caught:
        asyncio.run(
            decode(source, folder / "out.npy", wanted, field="messages.0.image", limits=limits or MediaLimits())
        )
    assert caught.value.field == "messages.0.image"
    assert str(caught.value).startswith("messages.0.image: ")
    assert str(folder) not in str(caught.value)
    assert [path.name for path in folder.iterdir()] == [source.name]


def png_header(height: int, width: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("wanted", [WantedImage(), LastFrames(1)])
@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is empty"),
        (b"this is a text that calls itself robot.png", "is neither an image"),
        (PLAYLIST, "is neither an image"),
        (b"GIF89a" + bytes(100), "is neither an image"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "is neither an image"),
    ],
)
def test_what_is_no_image_and_no_video(data: bytes, match: str, wanted: Wanted, tmp_path: Path) -> None:
    source = tmp_path / "source.png"
    source.write_bytes(data)
    refused(source, wanted, MediaError, match)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_half_an_image(name: str, tmp_path: Path) -> None:
    data = image_bytes(NOISE, name)
    source = tmp_path / "source"
    source.write_bytes(data[: len(data) // 2])
    refused(source, WantedImage(), MediaError, f"is not a whole {name} image")


def test_an_animation(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("WEBP", "PNG"):
        source.write_bytes(image_bytes(NOISE, name, save_all=True, append_images=[NOISE.transpose(0)]))
        refused(source, WantedImage(), MediaError, f"is an animated {name}")


def test_an_image_where_a_video_is_wanted_and_the_other_way_round(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(image_bytes(NOISE, "PNG"))
    refused(source, SampledFrames(2.0), MediaError, r"is an image \(PNG\), where a video is needed")
    source.unlink()
    refused(write_video(tmp_path / "s.mp4"), WantedImage(), MediaError, r"is a video \(MP4 or MOV\), where an image")


def test_a_video_cut_off_before_its_index(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4")
    data = source.read_bytes()
    source.write_bytes(data[: data.rindex(b"moov") - 4])
    refused(source, LastFrames(1), MediaError, "is not a readable MP4 or MOV video")


def test_a_video_without_a_frame_that_decodes(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mkv", num_frames=3, junk_at=(0, 1, 2))
    refused(source, LastFrames(1), MediaError, "holds no frame")


def test_a_video_whose_data_lies_in_another_file(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4")
    data = source.read_bytes()
    inline = b"url \0\0\0\1"
    assert data.count(inline) == 1
    source.write_bytes(data.replace(inline, b"url \0\0\0\0"))
    refused(source, LastFrames(1), MediaError, "refers to another file")


def test_a_video_that_is_too_short(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", num_frames=4)
    refused(source, LastFrames(5), MediaError, r"too few frames \(4\): at least 5 are needed")


@pytest.mark.parametrize("codec", ["mjpeg", "ffv1"])
def test_a_codec_that_is_not_on_the_list(codec: str, tmp_path: Path) -> None:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    source = write_video(tmp_path / "source.mkv", codec=codec, pix_fmt=pixels)
    refused(source, LastFrames(1), MediaError, f"is coded as {codec}, which is not read here")


def test_a_file_over_the_limit_is_not_even_opened(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(1001))
    refused(source, WantedImage(), TooLarge, "larger than the 1000 bytes", MediaLimits(max_source_bytes=1000))


def test_an_image_that_announces_four_thousand_million_pixels_is_refused_at_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(png_header(65535, 65535))
    began = time.monotonic()
    refused(source, WantedImage(), TooLarge, "has 65535x65535 pixels, more than the 16777216")
    assert time.monotonic() - began < 20  # most of it the start of a process on a busy machine


VIDEO_LIMITS = [
    (MediaLimits(max_pixels=48 * 64 - 1), "has 64x48 pixels, more than the 3071"),
    (MediaLimits(max_source_frames=11), "has more than the 11 frames"),
    (MediaLimits(max_duration_seconds=1), "lasts 1.2 seconds, more than the 1"),
    (MediaLimits(max_decoded_bytes=5 * 48 * 64 * 3 - 1), "makes 46080 bytes of frames, more than the 46079"),
]


@pytest.mark.parametrize(("limits", "match"), VIDEO_LIMITS)
def test_a_video_over_a_limit(limits: MediaLimits, match: str, tmp_path: Path) -> None:
    refused(write_video(tmp_path / "source.mp4"), LastFrames(5), TooLarge, match, limits)


def test_a_video_at_every_limit_is_read(tmp_path: Path) -> None:
    limits = MediaLimits(
        max_pixels=48 * 64, max_source_frames=12, max_duration_seconds=1.2, max_decoded_bytes=5 * 48 * 64 * 3
    )
    source = write_video(tmp_path / "source.mp4")
    found = asyncio.run(decode(source, tmp_path / "out.npy", LastFrames(5), field="video", limits=limits))
    assert found.num_frames == 5


def test_a_header_that_announces_less_than_the_frames_are(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", size=(480, 640))
    data = bytearray(source.read_bytes())
    sides = data.rindex(b"avc1") + 28
    assert struct.unpack(">HH", data[sides : sides + 4]) == (640, 480)
    data[sides : sides + 4] = struct.pack(">HH", 16, 16)
    source.write_bytes(data)
    refused(source, LastFrames(1), TooLarge, "has 640x480 pixels", MediaLimits(max_pixels=100_000))


def test_a_header_that_announces_a_shorter_video_than_there_is(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mkv", num_frames=30)
    data = source.read_bytes()
    duration = data.index(b"\x44\x89\x88") + 3  # EBML: duration, eight bytes
    source.write_bytes(data[:duration] + struct.pack(">d", 100.0) + data[duration + 8 :])
    refused(source, LastFrames(1), TooLarge, "lasts 2.9 seconds", MediaLimits(max_duration_seconds=2))


def test_an_image_that_needs_more_memory_than_allowed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(image_bytes(Image.new("L", (8000, 8000)), "PNG"))
    limits = MediaLimits(max_pixels=8000 * 8000, decode_memory_bytes=256 * 2**20)
    refused(source, WantedImage(), TooLarge, "needs more than 268435456 bytes of memory", limits)


def test_decoding_that_takes_too_long(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4")
    limits = MediaLimits(decode_timeout_seconds=0.01)  # less than the start of a process takes
    refused(source, LastFrames(1), TooLarge, "takes longer than the 0.01 seconds", limits)
