"""One environment variable, and the ways of reading its text."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BUCKET = re.compile(r"\*|[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class Variable:
    """One environment variable: what it becomes, what it is when it is not set, what it means."""

    name: str
    field: str
    parse: Callable[[str], Any]
    default: str | None
    meaning: str
    is_secret: bool = False


def text(value: str) -> str:
    return value


def path(value: str) -> Path:
    return Path(value).expanduser()


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdecimal() and low <= int(value) <= high):
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def switch(value: str) -> bool:
    word = value.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("1, true, yes, on, 0, false, no or off")


def one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.strip().lower() not in words:
            raise ValueError(" or ".join(words))
        return value.strip().lower()

    return parse


def words(value: str) -> tuple[str, ...]:
    """What stands between commas; nothing for "none"."""
    found = tuple(piece.strip() for piece in value.split(","))
    return () if found == ("none",) else found


def buckets(value: str) -> tuple[str, ...]:
    found = words(value)
    if not all(_BUCKET.fullmatch(bucket) for bucket in found):
        raise ValueError('names of buckets, "*" for every one that the role may use, or "none"')
    return found


def api_key(value: str) -> str:
    if not re.fullmatch(r"[!-~]{16,512}", value):
        raise ValueError("16 to 512 visible ASCII characters without spaces")
    return value


def port_range(value: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", value.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]) <= 65535:
        raise ValueError("two ports LOW-HIGH from 1 to 65535, such as 23000-23999")
    return int(found[1]), int(found[2])


def devices(value: str) -> tuple[str, ...]:
    word = value.strip().lower()
    if word in ("auto", "cpu"):
        return (word,)
    indices = tuple(piece.strip() for piece in word.split(","))
    if not all(piece.isascii() and piece.isdecimal() for piece in indices) or len(set(indices)) != len(indices):
        raise ValueError('"auto", "cpu", or the indices of GPUs such as 0 or 0,1')
    return indices
