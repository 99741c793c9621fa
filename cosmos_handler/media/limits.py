"""How large an input may be, and what decoding it may cost."""

from dataclasses import dataclass

_GIB = 2**30


@dataclass(frozen=True)
class MediaLimits:
    """Bounds on one image or video.

    max_source_bytes: the file as it was sent.
    max_pixels: height times width of a frame.
    max_source_frames, max_duration_seconds: the whole source, not only what is kept of it.
    max_decoded_bytes: the kept frames, three bytes a pixel.
    decode_timeout_seconds: from the start of the decoding process to its answer.
    decode_memory_bytes: address space of that process; its libraries alone map about a quarter of a GiB.
    decode_threads: threads of the video decoder.
    """

    max_source_bytes: int = _GIB
    max_pixels: int = 4096 * 4096
    max_source_frames: int = 20_000
    max_duration_seconds: float = 600
    max_decoded_bytes: int = 4 * _GIB
    decode_timeout_seconds: float = 60
    decode_memory_bytes: int = 4 * _GIB
    decode_threads: int = 4
