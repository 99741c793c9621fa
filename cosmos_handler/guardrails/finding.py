"""What a check is, and what it finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Finding:
    """What one check found. detail: labels and counts; never words of the prompt, as it is told and logged.

    changed: the frames were altered and may go on.
    """

    state: Literal["passed", "blocked", "changed", "error"]
    detail: str


class TextCheck(Protocol):
    """May these words be made into pictures? Whatever it raises blocks as well."""

    @property
    def name(self) -> str:
        """As in artifacts/guardrail.CHECKS."""

    def check(self, text: str) -> Finding:
        """What it finds in a text."""


class VideoCheck(Protocol):
    """May these frames go out? Whatever it raises blocks as well."""

    @property
    def name(self) -> str:
        """As in artifacts/guardrail.CHECKS."""

    def check(
        self, frames: NDArray[np.uint8], on_batch: Callable[[int, int], None]
    ) -> tuple[NDArray[np.uint8], Finding]:
        """The frames [T, H, W, 3] as they may go out, and what it found.

        on_batch: told how many frames are done, of how many; raises when the job is cancelled.
        """
