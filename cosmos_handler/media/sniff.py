"""What a file is by its first bytes, whatever its name or declared type says; an allow-list."""

from dataclasses import dataclass
from typing import Literal

HEAD_BYTES = 16


@dataclass(frozen=True)
class MediaFormat:
    """A format that is read here.

    decoder: Pillow's name of the format, or FFmpeg's of the demuxer; nothing else may open the file.
    """

    name: str
    kind: Literal["image", "video"]
    decoder: str


_PNG = MediaFormat("PNG", "image", "PNG")
_JPEG = MediaFormat("JPEG", "image", "JPEG")
_WEBP = MediaFormat("WEBP", "image", "WEBP")
_MP4 = MediaFormat("MP4 or MOV", "video", "mov")
_MATROSKA = MediaFormat("WEBM or MKV", "video", "matroska")

IMAGE_NAMES = "PNG, JPEG or WEBP"
VIDEO_NAMES = "MP4, MOV, WEBM or MKV"

# The boxes that an MP4 or MOV file can open with; ftyp is the usual one, old QuickTime files begin with another.
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
# HEIC and AVIF are images in the same container as MP4, which FFmpeg would open as a video.
_IMAGE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis")


def sniff(head: bytes) -> MediaFormat | None:
    """The format of a file that begins with these bytes (HEAD_BYTES are enough); None where it is not read here."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _PNG
    if head.startswith(b"\xff\xd8\xff"):
        return _JPEG
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _WEBP
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _MATROSKA
    if head[4:8] in _FIRST_BOXES and not (head[4:8] == b"ftyp" and head[8:12] in _IMAGE_BRANDS):
        return _MP4
    return None


def media_kind(data: bytes) -> Literal["image", "video"] | None:
    """Whether the bytes begin like an image or a video that is read here; None where like neither."""
    found = sniff(data[:HEAD_BYTES])
    return found.kind if found else None
