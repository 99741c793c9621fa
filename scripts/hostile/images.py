"""Pictures that are broken, lie about themselves, or unpack to far more than they are."""

import io
import struct
import zlib
from collections.abc import Iterator
from random import Random

from PIL import Image

Named = tuple[str, bytes]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes, *, length: int | None = None, crc: int | None = None) -> bytes:
    """One chunk of a PNG; its length and its checksum may be lies."""
    right = zlib.crc32(kind + data)
    return struct.pack(">I", len(data) if length is None else length) + kind + data + struct.pack(">I", crc or right)


def png(width: int, height: int, *more: bytes, depth: int = 8, color: int = 2, data: bytes | None = None) -> bytes:
    """A PNG that announces a size, with more chunks before its data (by default a few bytes)."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    packed = zlib.compress(bytes(64)) if data is None else data
    return _SIGNATURE + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def pixels(random: Random, name: str, **options: object) -> bytes:
    """A small whole picture of noise."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (32, 24), random.randbytes(32 * 24 * 3)).save(buffer, name, **options)
    return buffer.getvalue()


def sizes() -> Iterator[Named]:
    """Sizes that nobody has, each in a file of a kilobyte or less."""
    for width, height in (
        (65535, 65535), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (1, 2**31), (0, 0), (0, 10), (2**31, 2),
        (100_000, 100_000), (4097, 4096), (20_000, 20_000),
    ):  # fmt: skip
        yield f"png-{width}x{height}", png(width, height)
    for side in (65535, 65500, 40_000):
        frame = struct.pack(">BHHB", 8, side, side, 3) + bytes((1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1))
        yield f"jpeg-{side}", b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xc0\0\x11" + frame + b"\xff\xd9"
    big = (16383).to_bytes(3, "little") * 2
    yield "webp-canvas", b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + big
    yield "webp-lossy", b"RIFF\x1a\0\0\0WEBPVP8 \x0e\0\0\0\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(4)
    yield "webp-lossless", b"RIFF\x12\0\0\0WEBPVP8L\x05\0\0\0\x2f\xff\xff\xff\x0f"


def bombs() -> Iterator[Named]:
    """Small files of much data: text, profiles, rows and frames without end."""
    packed = zlib.compress(bytes(64 * 2**20), 9)
    yield "png-idat-bomb", png(1, 1, data=packed)
    yield "png-ztxt-bomb", png(1, 1, chunk(b"zTXt", b"k\0\0" + packed))
    yield "png-itxt-bomb", png(1, 1, chunk(b"iTXt", b"k\0\1\0\0\0" + packed))
    yield "png-iccp-bomb", png(1, 1, chunk(b"iCCP", b"k\0\0" + packed))
    yield "png-many-texts", png(1, 1, *[chunk(b"tEXt", b"k%d\0v" % number) for number in range(20_000)])
    yield "png-many-bombs", png(1, 1, *[chunk(b"zTXt", b"k%d\0\0" % number + packed) for number in range(20)])
    yield "png-billion-frames", png(1, 1, chunk(b"acTL", struct.pack(">II", 10**9, 0)))
    yield "png-a-gigapixel-of-nothing", png(4096, 4096, data=zlib.compress(bytes(4096 * (4096 * 3 + 1)), 9)[:1000])
    yield (
        "gif-billion-pixels",
        b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b"," + bytes(4) + b"\xff\xff\xff\xff\0\2\1\0;",
    )
    yield "gif-many-frames", b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0" * 5000 + b";"
    yield "zip", b"PK\3\4\x14\0\0\0\x08\0" + bytes(16) + b"\1\0\0\0a" + packed[:2000]
    yield "gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\3" + packed[2:4000]


def broken() -> Iterator[Named]:
    """Pictures whose parts do not go together."""
    whole = zlib.compress(bytes(7))
    yield "png-no-header", _SIGNATURE + chunk(b"IDAT", whole) + chunk(b"IEND", b"")
    yield "png-two-headers", png(1, 1, chunk(b"IHDR", struct.pack(">IIBBBBB", 9**5, 9**5, 8, 2, 0, 0, 0)))
    yield "png-no-palette", png(1, 1, color=3)
    yield "png-long-palette", png(1, 1, chunk(b"PLTE", bytes(3 * 5000)), color=3)
    yield "png-odd-depth", png(1, 1, depth=3)
    yield "png-odd-color", png(1, 1, color=77)
    yield "png-endless-chunk", _SIGNATURE + chunk(b"IHDR", bytes(13), length=2**32 - 1)
    yield "png-wrong-sum", png(1, 1, chunk(b"gAMA", bytes(4), crc=1))
    yield "png-signature", _SIGNATURE
    yield "png-bad-zlib", png(8, 8, data=b"\x78\x9c" + b"\xff" * 64)
    yield "png-exif-loop", png(1, 1, chunk(b"eXIf", _exif_loop()))
    yield "png-short-chunks", png(1, 1, *[chunk(kind, b"\1") for kind in (b"tRNS", b"pHYs", b"cHRM", b"sRGB", b"iCCP")])
    jpeg = b"\xff\xd8"
    app1 = b"Exif\0\0" + _exif_loop()
    yield "jpeg-exif-loop", jpeg + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + b"\xff\xd9"
    yield "jpeg-many-segments", jpeg + (b"\xff\xe2\x10\x02" + bytes(4096)) * 500 + b"\xff\xd9"
    yield "jpeg-short-segment", jpeg + b"\xff\xe0\0\0\xff\xd9"
    yield "jpeg-ones", jpeg + b"\xff" * 50_000
    yield "jpeg-start", jpeg + b"\xff"
    yield "webp-size-lie", b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff" + bytes(64)
    yield "webp-no-chunk", b"RIFF\4\0\0\0WEBP"


def _exif_loop() -> bytes:
    """A directory of tags whose next directory is itself, with a value of four gigabytes."""
    tag = struct.pack("<HHII", 0x112, 3, 2**32 - 1, 8)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + tag + struct.pack("<I", 8)


def strangers(random: Random) -> Iterator[Named]:
    """Formats that are not read here, and files of two kinds at once."""
    picture, photo = pixels(random, "PNG"), pixels(random, "JPEG")
    yield "bmp", pixels(random, "BMP")
    yield "tiff", pixels(random, "TIFF")
    yield "ico", b"\0\0\1\0\1\0\x20\x20\0\0\1\0\x18\0" + struct.pack("<II", len(picture), 22) + picture
    yield "psd", b"8BPS\0\1" + bytes(6) + b"\0\3" + struct.pack(">II", 30_000, 30_000) + b"\0\x08\0\3" + bytes(12)
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n"
    yield "ppm", b"P6 65535 65535 255\n" + bytes(100)
    yield "svg", b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'
    yield "pdf", b"%PDF-1.7\n1 0 obj<</OpenAction<</S/Launch/F(/bin/sh)>>>>endobj\n"
    yield "html", b"<html><script src='http://169.254.169.254/'></script></html>"
    yield "heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    yield "avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(100)
    yield "png-and-zip", picture + b"PK\5\6" + bytes(18)
    yield "png-and-html", picture + b"<script>alert(1)</script>"
    yield "jpeg-and-mp4", photo + b"\0\0\0\x18ftypisom\0\0\0\0isommp42"
    yield "jpeg-and-php", photo + b"<?php system($_GET['x']); ?>"
    yield "gif-and-js", b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)//"
    yield "jpeg-named-png", _SIGNATURE + photo
    yield "png-in-png", png(1, 1, chunk(b"tEXt", b"k\0" + picture))
    yield "one-byte", b"\x89"
    yield "zeros", bytes(5000)
    yield "noise", random.randbytes(5000)
    yield "script", b"#!/bin/sh\nrm -rf /\n"


def mutated(random: Random, count: int) -> Iterator[Named]:
    """Whole pictures, cut off or with bytes changed."""
    wholes = [pixels(random, "PNG"), pixels(random, "JPEG", progressive=True), pixels(random, "JPEG"),
              pixels(random, "WEBP"), pixels(random, "WEBP", lossless=True)]  # fmt: skip
    for number in range(count):
        yield f"image-mutant-{number}", mutate(random, wholes[number % len(wholes)])


def mutate(random: Random, whole: bytes) -> bytes:
    """One of: cut off, bytes changed, a stretch doubled, a stretch lost, a number made huge."""
    data = bytearray(whole)
    place = random.randrange(8, len(data))
    kind = random.randrange(5)
    if kind == 0:
        del data[place:]
    elif kind == 1:
        for _ in range(random.randrange(1, 30)):
            data[random.randrange(8, len(data))] = random.randrange(256)
    elif kind == 2:
        data[place:place] = data[place : place + random.randrange(1, 400)]
    elif kind == 3:
        del data[place : place + random.randrange(1, 60)]
    else:
        data[place : place + 4] = random.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\x80\0\0\0"))
    return bytes(data)


def all_images(random: Random) -> Iterator[Named]:
    """Every one of them."""
    yield from sizes()
    yield from bombs()
    yield from broken()
    yield from strangers(random)
    yield from mutated(random, 40)
