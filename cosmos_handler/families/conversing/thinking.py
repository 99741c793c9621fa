"""Tells the reasoning between think tags from the answer after it, piece by piece as the text is made."""

from collections.abc import Iterator
from itertools import groupby

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkSplitter:
    """Feed it text in any pieces: what comes out does not depend on where they were cut.

    open_already: the prompt itself ended in an opening tag.
    """

    def __init__(self, *, open_already: bool) -> None:
        self._held = ""
        self._reasoning = open_already
        self._undecided = not open_already
        self._fresh = open_already  # white space next to a tag belongs to neither part

    def feed(self, text: str) -> Iterator[tuple[str, bool]]:
        """The pieces that are certain by now, each with whether it is reasoning."""
        self._held += text
        if self._undecided and not self._decide():
            return
        if self._reasoning:
            before, tag, after = self._held.partition(_CLOSE)
            if tag:
                yield from self._out(before.rstrip(), reasoning=True)
                self._reasoning, self._fresh, self._held = False, True, after
            else:
                certain = before[: len(before) - _overlap(before, _CLOSE)].rstrip()
                yield from self._out(certain, reasoning=True)
                self._held = before[len(certain) :]
                return
        yield from self._out(self._held, reasoning=False)
        self._held = ""

    def finish(self) -> Iterator[tuple[str, bool]]:
        """What was still held back when the text ended."""
        held, self._held = self._held, ""
        yield from self._out(held.rstrip() if self._reasoning else held, reasoning=self._reasoning)

    def _decide(self) -> bool:
        start = self._held.lstrip()
        if len(start) < len(_OPEN) and _OPEN.startswith(start):
            return False
        self._undecided = False
        if start.startswith(_OPEN):
            self._reasoning, self._fresh, self._held = True, True, start[len(_OPEN) :]
        return True

    def _out(self, text: str, *, reasoning: bool) -> Iterator[tuple[str, bool]]:
        if self._fresh:
            text = text.lstrip()
        if text:
            self._fresh = False
            yield text, reasoning


def split(text: str, *, open_already: bool) -> tuple[str | None, str]:
    """A whole text as its reasoning, None where there is none, and its answer."""
    splitter = ThinkSplitter(open_already=open_already)
    parts = {True: "", False: ""}
    for reasoning, pieces in groupby([*splitter.feed(text), *splitter.finish()], key=lambda piece: piece[1]):
        parts[reasoning] += "".join(piece for piece, _ in pieces)
    return parts[True] or None, parts[False]


def _overlap(text: str, tag: str) -> int:
    """How much of the end of the text may be the beginning of the tag."""
    return next((size for size in range(len(tag) - 1, 0, -1) if text.endswith(tag[:size])), 0)
