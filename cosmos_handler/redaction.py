"""What must not be read in a log: secrets by their looks or their very text, and whatever repeats a request."""

import re
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

_WITHHELD = "[withheld: it repeats what a request says]"
_GONE = "[…]"
# By their looks: credentials in headers, in addresses and in assignments; keys of AWS, of the hub, of NVIDIA; media.
_LOOKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"data:[\w.+-]*/?[\w.+-]*(;[\w=.-]+)*,[\w+/=%-]*"), f"data:{_GONE}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {_GONE}"),
    (re.compile(r"\b(?:hf_|nvapi-|sk-)[\w-]{8,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), _GONE),
    (
        re.compile(
            r"(?i)\b(x-amz-[\w-]+|[\w-]*signature|[\w-]*token|api[_-]?key|password|passwd|[\w-]*secret[\w-]*|"
            r"awsaccesskeyid|authorization)([\"']?\s*[=:]\s*[\"']?)(?!\[…)[^\s&\"',;]{4,}"
        ),
        rf"\1\2{_GONE}",
    ),
    (re.compile(r"[A-Za-z0-9+/_-]{200,}={0,2}"), _GONE),
)
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]{1,9}://[^\s\"'<>`]+", re.IGNORECASE)

# What requests said last. It is bounded by its size, not by the life of requests: some faults are told after it.
_MAX_TEXT_CHARACTERS = 20_000
_MAX_REQUEST_TEXTS = 1000
_MAX_ALL_BYTES = 2**18
_WINDOW_BYTES = 12
_MIN_BYTES = 8
_MAX_CHECKED_CHARACTERS = 4000
_ESCAPES = re.compile(r"\\u([0-9a-fA-F]{4})|\\[nrt]")
_NOT_WORDS = re.compile(r"[\W_]+")


class _Said:
    """The texts of the last requests, as their letters and digits alone."""

    def __init__(self) -> None:
        self._texts: dict[bytes, None] = {}  # in the order in which they came
        self._size_bytes = 0

    def add(self, text: str) -> None:
        said = _letters(text[:_MAX_TEXT_CHARACTERS])
        if len(said) < _MIN_BYTES or said in self._texts:
            return
        self._texts[said] = None
        self._size_bytes += len(said)
        while self._size_bytes > _MAX_ALL_BYTES:
            oldest = next(iter(self._texts))
            del self._texts[oldest]
            self._size_bytes -= len(oldest)

    def is_repeated_by(self, text: str) -> bool:
        heard = _letters(_ESCAPES.sub(_unescaped, text))
        texts = tuple(self._texts)  # another thread may add to them meanwhile
        if any(said in heard for said in texts if len(said) < _WINDOW_BYTES):
            return True
        windows = [heard[start : start + _WINDOW_BYTES] for start in range(len(heard) - _WINDOW_BYTES + 1)]
        everything = b"\0".join(texts)
        return any(window in everything for window in windows)


_said = _Said()
_remembering = threading.Lock()
_secrets: list[str] = []


def protect(secrets: Iterable[str]) -> None:
    """Let these texts appear nowhere."""
    _secrets.extend(secret for secret in secrets if len(secret) >= _MIN_BYTES and secret not in _secrets)


def remember(texts: Iterable[str]) -> None:
    """Know what a request says, so that no library can tell it on."""
    with _remembering:
        for text in islice(texts, _MAX_REQUEST_TEXTS):
            _said.add(text)


def texts_in(value: Any) -> Iterator[str]:
    """Every text in plain objects and lists, names of fields aside; without recursion, however deep it is."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as members:
                left.extend(members.values())
            case list() | tuple() as items:
                left.extend(items)


def clean(text: str) -> str:
    """The text without secrets: those that are known, and what looks like one."""
    for secret in _secrets:
        text = text.replace(secret, _GONE)
    text = _ADDRESS.sub(_bare_address, text)
    for pattern, instead in _LOOKS:
        text = pattern.sub(instead, text)
    return text


def harmless(text: str) -> str:
    """The text, for which no sentence of ours answers; less than all of it where it is long, nothing where it tells."""
    if _said.is_repeated_by(text[:_MAX_CHECKED_CHARACTERS]):
        return _WITHHELD
    return text if len(text) <= _MAX_CHECKED_CHARACTERS else text[:_MAX_CHECKED_CHARACTERS] + _GONE


def _letters(text: str) -> bytes:
    return _NOT_WORDS.sub("", text).casefold().encode(errors="replace")


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else " "


def _bare_address(match: re.Match[str]) -> str:
    """Scheme, host and path: a signature stands in the query, a password before the host."""
    try:
        address = urlsplit(match[0])
    except ValueError:
        return f"{match[0].split(':')[0]}://{_GONE}"
    host = address.netloc.rpartition("@")[2]
    told = f"{address.scheme}://{host}{address.path}"
    return f"{told}?{_GONE}" if address.query or address.fragment or host != address.netloc else told
