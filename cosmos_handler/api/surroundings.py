"""What stands around the server: who asks, and what its files may lie in."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Surroundings:
    """Told once.

    spool_dir: where long answers are collected.
    api_key: None where everybody may come in.
    is_batch: whether a batch transform job is what asks.
    is_behind_platform: whether the next request may reach another instance.
    """

    spool_dir: Path
    api_key: str | None = None
    is_batch: bool = False
    is_behind_platform: bool = False
