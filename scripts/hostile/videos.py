"""Videos that are broken, lie about themselves, or lead to other files."""

import io
import struct
import zlib
from collections.abc import Iterator
from random import Random

import av
import numpy as np

from scripts.hostile.images import Named, mutate


def box(kind: bytes, *content: bytes, size: int | None = None) -> bytes:
    """One box of an MP4; its size may be a lie."""
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8 if size is None else size) + kind + body


def clip(name: str, codec: str = "libx264", num_frames: int = 8) -> bytes:
    """A small whole video, the same on every call."""
    buffer = io.BytesIO()
    exact = {"fflags": "+bitexact"}
    with av.open(buffer, "w", format=name, options=exact) as container:
        options = {"threads": "1", "flags": "+bitexact"}
        stream = container.add_stream(codec, rate=8, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(num_frames):
            pixels = np.full((48, 64, 3), number * 20, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def patched(whole: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    """A video with bytes changed at a distance from a mark in it."""
    data = bytearray(whole)
    place = data.rindex(mark) + offset
    data[place : place + len(value)] = value
    return bytes(data)


def referring(whole: bytes, reference: bytes) -> bytes:
    """An MP4 whose data, it says, lies elsewhere: every box round the reference grows with it."""
    inline = b"url \0\0\0\1"
    place = whole.index(inline) - 4
    data = bytearray(
        whole[:place] + struct.pack(">I", len(reference) + 4) + reference + whole[place + 4 + len(inline) :]
    )
    for mark in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = data.index(mark) - 4
        (size,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", data, start, size + len(reference) - len(inline))
    return bytes(data)


_FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")


def counts(whole: bytes) -> Iterator[Named]:
    """Numbers that no video has, in places where readers make room for them. whole: an MP4."""
    most = b"\xff\xff\xff\xff"
    for billion, name in ((10**9, "billion"), (2**31 - 1, "most"), (3 * 10**8, "many"), (2**32 - 1, "all")):
        number = struct.pack(">I", billion)
        yield f"mp4-stsz-{name}", patched(whole, b"stsz", 8, struct.pack(">II", 1, billion))
        yield f"mp4-stts-{name}", patched(whole, b"stts", 12, number)
        yield f"mp4-stts-entries-{name}", patched(whole, b"stts", 8, number)
        yield f"mp4-stsc-{name}", patched(whole, b"stsc", 8, number)
        yield f"mp4-stco-{name}", patched(whole, b"stco", 8, number)
        yield f"mp4-chunks-of-{name}", patched(whole, b"stsc", 16, number)
        constant = patched(whole, b"stsz", 8, struct.pack(">II", 1, billion))
        yield f"mp4-one-chunk-of-{name}", patched(constant, b"stsc", 16, number)
    yield "mp4-sides", patched(whole, b"avc1", 28, most)
    yield "mp4-long", patched(whole, b"mvhd", 20, most)
    yield "mp4-timescale-0", patched(whole, b"mdhd", 16, bytes(4))
    yield "mp4-slow", patched(whole, b"stts", 16, b"\x7f\xff\xff\xff")
    yield "mp4-duration-negative", patched(whole, b"mdhd", 20, b"\x80\0\0\1")
    yield "mp4-offset", patched(whole, b"stco", 12, most)
    yield "mp4-matrix", patched(whole, b"tkhd", 44, most * 9)
    yield "mp4-edit-list", patched(whole, b"elst", 8, most * 3) if b"elst" in whole else whole[:-9]


def boxes() -> Iterator[Named]:
    """Boxes in boxes, and boxes of wrong sizes."""
    nested = b""
    for _ in range(3000):
        nested = box(b"moov", nested)
    yield "mp4-nested", _FTYP + nested
    yield "mp4-only-ftyp", _FTYP
    yield "mp4-size-0", _FTYP + box(b"moov", bytes(100), size=0)
    yield "mp4-size-1", _FTYP + struct.pack(">I4sQ", 1, b"moov", 2**63 - 1) + bytes(50)
    yield "mp4-size-7", _FTYP + box(b"moov", bytes(100), size=7)
    yield "mp4-many-boxes", _FTYP + box(b"free") * 50_000
    yield "mp4-many-tracks", _FTYP + box(b"moov", *[box(b"trak", box(b"tkhd", bytes(84))) for _ in range(5000)])
    packed = zlib.compress(bytes(64 * 2**20), 9)
    for promised in (2**31, 64 * 2**20, 100):
        bomb = box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", promised), packed))
        yield f"mov-packed-{promised}", box(b"moov", bomb)
    run = box(b"trun", struct.pack(">III", 1, 10**9, 0))
    yield "mp4-fragment-billion", _FTYP + box(b"moof", box(b"traf", box(b"tfhd", bytes(8)), run))
    yield "mp4-sidx", _FTYP + box(b"sidx", bytes(22) + b"\xff\xff" + bytes(40))
    yield "mp4-meta", _FTYP + box(b"moov", box(b"udta", box(b"meta", bytes(4), box(b"ilst", bytes(60), size=2**31))))
    yield "mov-old", box(b"wide") + box(b"mdat", bytes(10))
    for name in (b"mdat", b"free", b"skip", b"moov"):
        yield f"mp4-{name.decode()}", box(name, b"\xff" * 200)


def references(whole: bytes) -> Iterator[Named]:
    """What leads to other files, under the name of a video. whole: an MP4."""
    for number, goal in enumerate(
        (b"file:///etc/passwd", b"http://169.254.169.254/", b"concat:/etc/passwd|/etc/hosts")
    ):
        yield f"mov-reference-{number}", referring(whole, b"url \0\0\0\0" + goal + b"\0")
        yield f"mov-alias-{number}", referring(whole, b"alis\0\0\0\0" + struct.pack(">H", 2) * 40 + goal)
        alias = box(b"rdrf", bytes(4) + b"url " + struct.pack(">I", len(goal)) + goal)
        yield f"mov-rmra-{number}", box(b"moov", box(b"rmra", box(b"rmda", alias)))
    lines = {
        "hls": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "hls-concat": "#EXTM3U\n#EXTINF:1,\nconcat:http://169.254.169.254/|file:///etc/passwd\n",
        "hls-in-mp4": "\0\0\0\x20ftypisom#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "ffconcat": "ffconcat version 1.0\nfile /etc/passwd\n",
        "dash": '<MPD><Period><BaseURL>file:///etc/passwd</BaseURL></Period></MPD>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "smil": '<smil><body><video src="file:///etc/passwd"/></body></smil>',
        "srt": "1\n00:00:00,000 --> 00:00:01,000\n<b>x</b>\n",
        "ass": "[Script Info]\n[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,,,,,,,x\n",
        "asx": '<asx><entry><ref href="http://169.254.169.254/"/></entry></asx>',
        "m3u": "http://169.254.169.254/latest/meta-data/\n",
        "y4m": "YUV4MPEG2 W65535 H65535 F25:1\nFRAME\n",
        "tee": "tee:[f=mp4]/tmp/x",
    }  # fmt: skip
    for name, text in lines.items():
        yield name, text.encode("latin-1")
    yield "avi-with-hls", b"RIFF\xff\0\0\0AVI LIST\x14\0\0\0hdrlavih" + lines["hls"].encode()
    yield "flv", b"FLV\1\1\0\0\0\x09" + bytes(100)
    yield "ts", (b"\x47\x40\0\x10" + bytes(184)) * 50


def matroska(whole: bytes) -> Iterator[Named]:
    """The same for Matroska. whole: a video in it."""
    head = b"\x1a\x45\xdf\xa3"
    yield "mkv-head", head
    yield "mkv-unknown-size", head + b"\xff" + bytes(50)
    yield "mkv-huge-size", head + b"\x01" + b"\xff" * 7 + bytes(50)
    yield "mkv-nested", whole[:60] + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"\x1f\x43\xb6\x75\x01" + b"\xff" * 7
    yield "mkv-nested-tags", head + b"\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + b"\x67\xc8\x40\xff" * 3000
    yield "mkv-sides", patched(whole, b"\xb0\x81\x40", 1, b"\x84\xff\xff\xff\xff") if b"\xb0\x81\x40" in whole else head
    yield "mkv-attachment", whole + b"\x19\x41\xa4\x69\x90" + b"\x61\xa7\x8e\x46\x6e\x8bfile:///etc"
    yield "mkv-zeros", whole[:200] + bytes(20_000)
    yield "webm-doctype", whole.replace(b"matroska", b"webm\0\0\0\0", 1)


def all_videos(random: Random) -> Iterator[Named]:
    """Every one of them."""
    mp4, mkv, webm = clip("mp4"), clip("matroska"), clip("webm", "libvpx-vp9")
    yield from counts(mp4)
    yield from boxes()
    yield from references(mp4)
    yield from matroska(mkv)
    for number in range(45):
        yield f"video-mutant-{number}", mutate(random, (mp4, mkv, webm)[number % 3])
