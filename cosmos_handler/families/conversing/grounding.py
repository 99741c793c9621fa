"""Boxes and points out of an answer: NVIDIA's whole numbers from 0 to 1000 become pixels of what was shown."""

import json
from collections.abc import Iterator
from typing import Any

from cosmos_handler.errors import InvalidField
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.messages.results import Found
from cosmos_handler.messages.tasks import Answer

_GRID = 1000
_KEYS = {"boxes": ("bbox_2d", 4), "points": ("point_2d", 2)}
_FIELD = "parse"


def shown_size(task: Answer) -> tuple[int, int]:
    """Height and width that the coordinates stand for. Raises InvalidField where nothing was shown, or two sizes."""
    media = [piece.media for turn in task.turns for piece in turn.pieces if piece.media is not None]
    sizes = {_size(medium) for medium in media}
    if len(sizes) != 1:
        found = "nothing is shown" if not sizes else "images and videos of several sizes are shown"
        raise InvalidField(_FIELD, f"needs one size that coordinates stand for, and {found}", allowed="one medium")
    return sizes.pop()


def find(text: str, task: Answer) -> tuple[Found, ...]:
    """The boxes or points in a text, in its order; what is not whole or not in range is left out."""
    if task.grounding is None:
        return ()
    key, count = _KEYS[task.grounding]
    height, width = shown_size(task)
    found = []
    for entry in _objects(text):
        numbers = _position(entry.get(key), count)
        if numbers is not None:
            scaled = [number * (height if axis % 2 else width) / _GRID for axis, number in enumerate(numbers)]
            label = entry.get("label")
            found.append(
                Found(label=label if isinstance(label, str) else None, position=tuple(numbers), pixels=tuple(scaled))
            )
    return tuple(found)


def _size(medium: MediaFile) -> tuple[int, int]:
    return medium.height, medium.width


def _position(value: Any, count: int) -> list[float] | None:
    if not isinstance(value, list) or len(value) != count:
        return None
    return value if all(type(number) in (int, float) and 0 <= number <= _GRID for number in value) else None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in a text, whether it stands alone, in a list, or between words and code fences."""
    decoder = json.JSONDecoder()
    place = text.find("{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            value, end = None, place + 1
        yield from _nested(value)
        place = text.find("{", end)


def _nested(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _nested(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nested(inner)
