"""The hub's progress as lines of the log, a few a minute, where a bar would be one endless line."""

import io
import logging
from typing import Any

from tqdm import tqdm

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 15.0


class _LogFile(io.StringIO):
    def write(self, text: str) -> int:
        """What the bar draws, without what moves a cursor."""
        line = text.strip("\r\n ")
        if line:
            log.info("%s", line)
        return len(text)


class LogBar(tqdm):  # type: ignore[misc]  # tqdm is not typed
    """A bar of the kind that huggingface_hub draws, into the log."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options |= {"file": _LogFile(), "mininterval": _SECONDS_BETWEEN_LINES, "disable": False, "ascii": True}
        super().__init__(*arguments, **options)
