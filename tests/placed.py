"""Loaded parts as they lie when nothing has been moved yet: all of them on the device, which is the CPU."""

from collections.abc import Mapping
from typing import Any


def at_rest(modules: Mapping[str, Any]) -> Any:
    """The parts of one model."""
    from cosmos_handler.memory.place import Residence

    residence = Residence("cpu")
    parts = residence.add("model", modules)
    residence.seal()
    return parts
