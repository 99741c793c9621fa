"""Media for requests, and frames out of answers."""

import io
from pathlib import Path
from typing import Any

import av
import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import Server

Frames = NDArray[np.uint8]


def png(height: int = 48, width: int = 80) -> bytes:
    """A picture with a gradient in each direction."""
    down, across = np.mgrid[0:height, 0:width]
    pixels = np.stack([down * 255 // height, across * 255 // width, (down + across) % 256], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def clip(path: Path, num_frames: int = 16, fps: int = 8, height: int = 64, width: int = 96) -> bytes:
    """A square that moves from left to right."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(num_frames):
            pixels = np.full((height, width, 3), 200, dtype=np.uint8)
            pixels[20:40, number * 4 : number * 4 + 20] = (220, 30, 30)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def frames_of_npz(data: bytes) -> Frames:
    """The frames of an application/x-npz answer."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        frames: Frames = arrays["frames"]
    return frames


def frames_served(server: Server, body: dict[str, Any]) -> Frames:
    """The frames that a server makes for a body."""
    response = server.invoke(body, accept="application/x-npz")
    assert response.status_code == 200, response.text
    return frames_of_npz(response.content)


def frames_of_mp4(data: bytes) -> tuple[Frames, float, str, dict[str, str]]:
    """Frames, fps, codec and metadata of an mp4, as a user of imageio would read them."""
    frames: Frames = iio.imread(data, plugin="pyav", extension=".mp4")
    stream = iio.immeta(data, plugin="pyav", extension=".mp4")
    with av.open(io.BytesIO(data)) as container:
        return frames, float(stream["fps"]), str(stream["codec"]), dict(container.metadata)
