"""The log: one line an event, on standard error, where SageMaker collects it, and nothing of a client's in it."""

import io
import logging
import sys
import time
import traceback
from collections.abc import Iterable
from typing import Any, TextIO

from cosmos_handler.redaction import clean, harmless, protect

_OURS = ("cosmos_handler", "__main__")
_QUIET = ("httpx", "httpx2", "filelock", "urllib3", "uvicorn.access", "botocore", "boto3")


class _Line(logging.Formatter):
    """Our own sentences as they are, less what looks like a secret; others' only where they repeat no request."""

    @staticmethod
    def converter(seconds: float | None) -> time.struct_time:
        """Logs of several regions are read side by side."""
        return time.gmtime(seconds)

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        told = record
        if record.name.split(".")[0] not in _OURS:
            told = logging.makeLogRecord({**record.__dict__, "msg": harmless(record.getMessage()), "args": None})
        told.exc_text = None  # another handler may have written it down whole
        return clean(super().format(told))

    def formatException(self, ei: Any) -> str:
        """Where it happened and of what kind it is; what it says, only where that repeats no request."""
        return "\n".join(_told(ei[1], set()))


def _told(error: BaseException, seen: set[int]) -> Iterable[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _told(before, seen)
        yield "which led to:"
    yield "".join(["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__)]).rstrip()
    yield f"{type(error).__module__}.{type(error).__qualname__}: {harmless(str(error))}"
    for inner in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _told(inner, seen)


class _Redacted(io.TextIOBase):
    """A standard stream, for whatever libraries print past the log: a line goes on once it is known to be harmless."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = ""

    def write(self, text: str) -> int:
        """Takes any part of a line."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._stream.write(f"{clean(harmless(line))}\n")
        return len(text)

    def flush(self) -> None:
        """What is whole has gone already; a line that has only begun waits for its end."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Nobody draws on a log."""
        return False

    def fileno(self) -> int:
        """The descriptor behind it."""
        return self._stream.fileno()


def configure_logging(level: str, *, process: str, secrets: Iterable[str] = ()) -> None:
    """Send every logger, warning and print of this process to standard error, without what is a client's or secret.

    process: the word that tells its lines apart. secrets: texts that never appear, wherever they come from.
    Called before any library is imported that keeps hold of the standard streams.
    """
    protect(secrets)
    raw = sys.stderr
    handler = logging.StreamHandler(raw)
    head = f"%(asctime)s.%(msecs)03dZ {process} %(levelname)s %(name)s: %(message)s"
    handler.setFormatter(_Line(head, datefmt="%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _QUIET:  # which log every request and every missing file at their lower levels
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    if not isinstance(raw, _Redacted):
        sys.stderr = _Redacted(raw)
        sys.stdout = _Redacted(raw)
