"""The settings of what clients may send and refer to."""

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from cosmos_handler.variable import Variable, buckets, path, whole, words

_GIB = 2**30
_NONE = "none"
_HOST = re.compile(r"(?:\*|(?:https?://)?(?:\*\.)?(?:[a-z0-9_-]+\.)*[a-z0-9_-]+)")
_PROXY = re.compile(r"http://[A-Za-z0-9_.-]+:[0-9]{1,5}/?")


@dataclass(frozen=True)
class MediaSettings:
    """Where a field has no comment, its row in MEDIA_VARIABLES says what it is."""

    max_bytes: int
    max_pixels: int
    max_frames: int
    max_seconds: int
    max_decoded_bytes: int
    decode_seconds: int
    decode_memory_bytes: int
    decode_threads: int
    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    networks: tuple[str, ...]
    buckets: tuple[str, ...]
    folder: Path | None
    max_redirects: int
    connect_seconds: int
    fetch_seconds: int
    proxy: str | None
    ca_bundle: Path | None


def _hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(host.lower().removeprefix("https://") for host in words(value))
    if not all(_is_host(host) for host in hosts):
        raise ValueError('hosts such as media.example.com, *.example.com, http://media.local, "*" for all, or "none"')
    return hosts


def _is_host(host: str) -> bool:
    if _HOST.fullmatch(host):
        # Without TLS every host has to be named in full.
        return not (host.startswith("http://") and "*" in host)
    try:
        ip_address(host.removeprefix("http://"))
    except ValueError:
        return False
    return True


def _ports(value: str) -> tuple[int, ...]:
    try:
        return tuple(whole(1, 65535)(port) for port in words(value))
    except ValueError:
        raise ValueError("ports from 1 to 65535 such as 443,8443") from None


def _networks(value: str) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(network)) for network in words(value))
    except ValueError:
        raise ValueError("networks such as 10.1.0.0/16,fd12::/48") from None


def _proxy(value: str) -> str:
    if not _PROXY.fullmatch(value):
        raise ValueError("a proxy such as http://proxy.example.com:3128")
    return value


def _folder(value: str) -> Path:
    folder = path(value)
    if not folder.is_absolute() or not folder.is_dir():
        raise ValueError("the absolute path of a folder")
    return folder


def _file(value: str) -> Path:
    file = path(value)
    if not file.is_absolute() or not file.is_file():
        raise ValueError("the absolute path of a file")
    return file


MEDIA_VARIABLES = (
    Variable("COSMOS_MAX_MEDIA_BYTES", "max_bytes", whole(1024, 2**40), str(_GIB), "largest image or video file"),
    Variable(
        "COSMOS_MAX_MEDIA_PIXELS", "max_pixels", whole(64, 2**31), str(4096 * 4096), "most pixels in a frame of it"
    ),
    Variable("COSMOS_MAX_MEDIA_FRAMES", "max_frames", whole(1, 10**7), "20000", "most frames in it"),
    Variable("COSMOS_MAX_MEDIA_SECONDS", "max_seconds", whole(1, 10**6), "600", "longest video"),
    Variable(
        "COSMOS_MAX_DECODED_BYTES",
        "max_decoded_bytes",
        whole(2**20, 2**40),
        str(4 * _GIB),
        "most bytes of the frames that are kept of it, three a pixel",
    ),
    Variable("COSMOS_DECODE_SECONDS", "decode_seconds", whole(1, 3600), "60", "most time to decode it"),
    Variable(
        "COSMOS_DECODE_MEMORY_BYTES",
        "decode_memory_bytes",
        whole(_GIB // 2, 2**40),
        str(4 * _GIB),
        "most memory for that, of each of at most two decoding processes",
    ),
    Variable("COSMOS_DECODE_THREADS", "decode_threads", whole(1, 64), "4", "threads of the video decoder"),
    Variable(
        "COSMOS_MEDIA_HOSTS",
        "hosts",
        _hosts,
        _NONE,
        "hosts that https:// may lead to: names, *.name, or * for all; http://name allows that one without TLS",
    ),
    Variable("COSMOS_MEDIA_PORTS", "ports", _ports, "80,443", "ports of such addresses"),
    Variable(
        "COSMOS_MEDIA_NETWORKS",
        "networks",
        _networks,
        _NONE,
        "private networks in which such hosts may lie, such as 10.1.0.0/16; never link-local or metadata addresses",
    ),
    Variable(
        "COSMOS_MEDIA_BUCKETS",
        "buckets",
        buckets,
        "*",
        "buckets that s3:// may lead to; * for every one that the role may read, none for no s3://",
    ),
    Variable("COSMOS_MEDIA_DIR", "folder", _folder, None, "folder that file:// may read from; by default none"),
    Variable("COSMOS_MEDIA_REDIRECTS", "max_redirects", whole(0, 10), "3", "most redirects to follow"),
    Variable(
        "COSMOS_CONNECT_SECONDS", "connect_seconds", whole(1, 60), "5", "most time to find a host, to connect, to wait"
    ),
    Variable("COSMOS_FETCH_SECONDS", "fetch_seconds", whole(1, 3600), "30", "most time to fetch one image or video"),
    Variable(
        "COSMOS_MEDIA_PROXY",
        "proxy",
        _proxy,
        None,
        "HTTP proxy for https:// and s3://, which then resolves names; no other variable sets one",
        is_secret=True,
    ),
    Variable("COSMOS_MEDIA_CA_BUNDLE", "ca_bundle", _file, None, "certificates to trust for them, not the system's"),
)
