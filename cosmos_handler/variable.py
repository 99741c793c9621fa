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
