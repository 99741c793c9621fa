"""What botocore's own check of parameters leaves out: enumerations, ranges, lengths and patterns of AWS's model."""

import re
from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape


def faults(shape: Shape, value: Any, place: str) -> Iterator[str]:
    """A sentence for each part of the value that the service would refuse."""
    yield from _here(shape, value, place)
    if isinstance(shape, StructureShape):
        for name, each in value.items():
            yield from faults(shape.members[name], each, f"{place}.{name}")
    elif isinstance(shape, ListShape):
        for number, each in enumerate(value):
            yield from faults(shape.member, each, f"{place}[{number}]")
    elif isinstance(shape, MapShape):
        for key, each in value.items():
            yield from faults(shape.key, key, f"{place}.{key}")
            yield from faults(shape.value, each, f"{place}.{key}")


def _here(shape: Shape, value: Any, place: str) -> Iterator[str]:
    limits = shape.metadata
    size = value if isinstance(value, int | float) else len(value)
    if not limits.get("min", size) <= size <= limits.get("max", size):
        yield f"{place}: {value} is not between {limits.get('min')} and {limits.get('max')}"
    if isinstance(shape, StringShape):
        if shape.enum and value not in shape.enum:
            yield f"{place}: {value} is none of {', '.join(shape.enum)}"
        if (pattern := limits.get("pattern")) and not re.fullmatch(pattern, value):
            yield f"{place}: {value} does not match {pattern}"
