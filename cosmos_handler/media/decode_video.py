"""The wanted frames of a video, upright and RGB; runs in the short-lived process only."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from cosmos_handler.media.boxes import refers_elsewhere
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.frame_file import FrameFile
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.refusal import Refusal, refuse_large_frames
from cosmos_handler.media.sniff import MediaFormat
from cosmos_handler.media.wanted import SampledFrames, WantedOfVideo

# The codecs that people send, without the hundreds that hardly anyone tests; then what FFmpeg calls their decoders.
_CODECS = ("av1", "h264", "hevc", "mpeg4", "vp8", "vp9")
_DECODERS = (*_CODECS, "libdav1d", "libaom-av1", "libvpx", "libvpx-vp9")
# The first pass counts packets, which is cheap and nearly always right; each one after it knows the count of frames.
_MAX_PASSES = 3


class _Miscounted(Exception):
    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.total = total


def decode_video(
    source: Path, output: Path, wanted: WantedOfVideo, *, found: MediaFormat, limits: MediaLimits
) -> MediaFile:
    """Write the wanted frames to `output`. Raises Refusal."""
    if found.decoder == "mov" and refers_elsewhere(source):
        raise Refusal("media", "refers to another file, and references are not followed")
    video = _Video(source, found, limits)
    try:
        total, source_fps = video.survey()
        for _ in range(_MAX_PASSES):
            try:
                return _keep(video, output, wanted, total, source_fps)
            except _Miscounted as miscounted:
                total = miscounted.total
    except MemoryError:  # PyAV's is an FFmpegError as well
        raise
    except av.FFmpegError as error:
        raise Refusal("media", f"is not a readable {found.name} video") from error
    raise Refusal("media", "is damaged: it does not decode to the same number of frames twice")


def _keep(video: "_Video", output: Path, wanted: WantedOfVideo, total: int, source_fps: float) -> MediaFile:
    """One pass over all frames, keeping those that are wanted of `total`. Raises _Miscounted and Refusal."""
    if total == 0:
        raise Refusal("media", "holds no frame that can be decoded")
    if total < wanted.min_source_frames:
        raise Refusal("media", f"has too few frames ({total}): at least {wanted.min_source_frames} are needed")
    indices = wanted.indices(total, source_fps)
    keep = frozenset(indices)
    shape: tuple[int, ...] = ()
    count = 0
    with FrameFile(output, num_frames=len(indices)) as file:
        for frame in video.frames():
            if count in keep:
                pixels = video.upright_rgb(frame)
                if not shape:
                    shape = pixels.shape
                    refuse_large_frames(shape[0], shape[1], video.limits, num_frames=len(indices))
                if pixels.shape != shape:
                    raise Refusal("media", "changes its frame size on the way")
                file.write(pixels)
            count += 1
        if count != total:
            raise _Miscounted(count)
    return MediaFile(
        kind="video",
        path=str(output),
        num_frames=len(indices),
        height=shape[0],
        width=shape[1],
        source_fps=source_fps,
        source_num_frames=total,
        indices=indices,
        stretch_num_frames=len(wanted.stretch(total, source_fps)) if isinstance(wanted, SampledFrames) else None,
    )


class _Video:
    """One video file, opened anew for every pass over it."""

    def __init__(self, source: Path, found: MediaFormat, limits: MediaLimits) -> None:
        self.limits = limits
        self._source = source
        self._found = found
        self._reformatter = VideoReformatter()

    def survey(self) -> tuple[int, float]:
        """Number of packets and frames per second, without decoding. Raises Refusal for what is over a limit."""
        with self._open() as container:
            stream = _video_stream(container)
            refuse_large_frames(stream.codec_context.height, stream.codec_context.width, self.limits)
            self._refuse_long((container.duration or 0) / av.time_base)
            total = 0
            times: list[float] = []
            for packet in _packets(container, stream):
                if packet.is_discard:  # cut off by an edit list
                    continue
                total += 1
                self._refuse_many(total)
                if packet.pts is not None:
                    times.append(float(packet.pts * packet.time_base))
            seconds = max(times) - min(times) if times else 0
            self._refuse_long(seconds)
            # The container's own rate is the one that transformers' readers go by.
            source_fps = float(stream.average_rate or 0) or (seconds and (total - 1) / seconds)
        if total and not source_fps:
            raise Refusal("media", "has no frame rate")
        return total, source_fps

    def frames(self) -> Iterator[VideoFrame]:
        """Every frame that decodes, in the order of display; damaged ones are left out, as players do."""
        with self._open() as container:
            stream = _video_stream(container)
            context = stream.codec_context
            context.options = {"max_pixels": str(self.limits.max_pixels)}
            context.thread_count = self.limits.decode_threads
            context.thread_type = "AUTO"
            count = 0
            for packet in chain(_packets(container, stream), (None,)):
                for frame in _decoded(stream, packet):
                    count += 1
                    self._refuse_many(count)
                    yield frame

    def upright_rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """uint8 [H, W, 3], turned as the file asks players to."""
        # A reformatter of ours, with one thread: PyAV's own keeps a pool of as many threads as there are cores.
        pixels = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return np.rot90(pixels, k=round(frame.rotation / 90)).astype(np.uint8, copy=False)

    def _open(self) -> InputContainer:
        # One demuxer, local files and a few decoders: no playlist, no reference to another file, no network.
        return av.open(
            str(self._source),
            format=self._found.decoder,
            options={"max_pixels": str(self.limits.max_pixels)},
            container_options={"protocol_whitelist": "file", "codec_whitelist": ",".join(_DECODERS)},
            metadata_errors="replace",
        )

    def _refuse_many(self, count: int) -> None:
        if count > self.limits.max_source_frames:
            raise Refusal("too_large", f"has more than the {self.limits.max_source_frames} frames that are allowed")

    def _refuse_long(self, seconds: float) -> None:
        if seconds > self.limits.max_duration_seconds:
            limit = self.limits.max_duration_seconds
            raise Refusal("too_large", f"lasts {seconds:.1f} seconds, more than the {limit} that are allowed")


def _video_stream(container: InputContainer) -> VideoStream:
    # A cover picture counts as a video stream for FFmpeg.
    moving = (stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic)
    stream = next(moving, None)
    if stream is None:
        raise Refusal("media", "holds no video")
    # Without a decoder there is no context at all.
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    if codec not in _CODECS:
        raise Refusal("media", f"is coded as {codec}, which is not read here: {', '.join(_CODECS)} are")
    return stream


def _packets(container: InputContainer, stream: VideoStream) -> "Iterator[Packet[VideoStream]]":
    """The packets of a stream; a file that is cut off or broken in the middle ends there."""
    try:
        for packet in container.demux(stream):
            if packet.size:  # PyAV ends with an empty one
                yield packet
    except MemoryError:
        raise
    except av.FFmpegError:
        return


def _decoded(stream: VideoStream, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
    """The frames that a packet completes, or those still held back after the last one (None)."""
    try:
        return stream.codec_context.decode(packet)
    except MemoryError:
        raise
    except av.FFmpegError:
        return []
