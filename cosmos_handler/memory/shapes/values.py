"""Sizes of values by torch's names of their types."""

from collections.abc import Mapping
from typing import Any

FLOAT_BYTES = 4  # float32, in which norms, rotations and attention keep what must be exact
INDEX_BYTES = 8

_VALUE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def value_bytes(dtype: str) -> int:
    """Bytes of one value. Raises KeyError for a type that no weights are served in."""
    return _VALUE_BYTES[dtype]


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a configuration that older files do not set apart."""
    found = config.get(name)
    return found if isinstance(found, Mapping) else config
