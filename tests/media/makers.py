"""Small images and videos, made on the spot; every frame of a video is a grey of its own, so that it can be told."""

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet
from numpy.typing import NDArray
from PIL import Image

# Greys are this far apart: more than a codec changes them.
GREY_STEP = 8


def grey_frame(index: int, *, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 16 + GREY_STEP * index, dtype=np.uint8)


def frame_numbers(frames: NDArray[np.uint8]) -> list[int]:
    """Which grey_frame each decoded frame is."""
    return [round((float(frame.mean()) - 16) / GREY_STEP) for frame in frames]


def image_bytes(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def write_video(
    path: Path,
    *,
    codec: str = "libx264",
    num_frames: int = 12,
    fps: int = 10,
    size: tuple[int, int] = (48, 64),
    junk_at: tuple[int, ...] = (),
    pix_fmt: str = "yuv420p",
) -> Path:
    """A video of key frames. junk_at: packets whose contents are replaced by bytes that no decoder takes."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.gop_size = 1
        frames = [
            av.VideoFrame.from_ndarray(grey_frame(index, height=height, width=width)) for index in range(num_frames)
        ]
        packets = [packet for frame in [*frames, None] for packet in stream.encode(frame)]
        for number, packet in enumerate(packets):
            container.mux(_junk(packet) if number in junk_at else packet)
    return path


def _junk(packet: Packet) -> Packet:
    junk = Packet(b"\x00\x00\x00\x01\x65junk")  # looks like a key frame of H.264 to whoever only looks
    junk.stream, junk.time_base = packet.stream, packet.time_base
    junk.pts, junk.dts, junk.duration = packet.pts, packet.dts, packet.duration
    return junk
