"""Frames as an mp4 file that plays anywhere."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

# The largest denominator of a broadcast rate: 24000/1001 and the like come out exact from a float.
_MAX_RATE_DENOMINATOR = 1001
_CODEC = {"crf": "18", "preset": "medium"}
# The index comes first, so that players start before they have the whole file; any metadata key is kept.
_MUXER = {"movflags": "+faststart+use_metadata_tags"}
# FFmpeg's numbers of the matrix that the frames are converted with and the file is labelled with. Without a label,
# players guess by the height of the picture.
_BT709 = 1
_LIMITED = 1


def write_mp4(path: Path, frames: NDArray[np.uint8], *, fps: float, metadata: Mapping[str, str]) -> None:
    """Write uint8 RGB frames [T, H, W, 3] as H.264, yuv420p, BT.709 in limited range, without sound.

    fps: frames per second. metadata: any keys and any text.
    Raises ValueError for frames of another kind, for odd sizes, which yuv420p cannot hold, and for a rate below 0.001.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, not uint8 [T, H, W, 3] with T >= 1")
    _, height, width, _ = frames.shape
    if height % 2 or width % 2:
        raise ValueError(f"frames are {width}x{height}, and both sides must be even")
    rate = Fraction(fps).limit_denominator(_MAX_RATE_DENOMINATOR)
    if rate <= 0:
        raise ValueError(f"fps is {fps}, not a positive rate")
    # PyAV itself and not imageio's plugin for it, which opens the codec before it can be told a quality or a matrix.
    with av.open(str(path), "w", format="mp4", container_options=_MUXER) as container:
        container.metadata.update(metadata)
        stream = container.add_stream("libx264", rate=rate, options=_CODEC)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = 1 / rate
        _label(context)
        reformatter = VideoReformatter()
        for number, pixels in enumerate(frames):
            frame = _yuv(reformatter, pixels)
            frame.pts, frame.time_base, frame.duration = number, context.time_base, 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _label(context: VideoCodecContext) -> None:
    context.colorspace = _BT709
    context.color_range = _LIMITED
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709


def _yuv(reformatter: VideoReformatter, pixels: NDArray[np.uint8]) -> VideoFrame:
    # One thread: a pool would outlive the call, in a process that holds a model.
    return reformatter.reformat(
        VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
        threads=1,
    )
