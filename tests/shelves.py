"""S3's part in shared jobs, in memory: objects that are replaced only as they were read."""

import copy
from collections.abc import Awaitable, Callable
from typing import Any

from cosmos_handler.errors import JobsUnreachable
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.shelving import Changed, Item, Shelf
from cosmos_handler.media.store_rules import StoreRules


class FakeShelf(Shelf):
    """now: its clock. between: what happens once between a reading and the writing after it. is_away: nobody answers.

    history: every text that a name had.
    """

    def __init__(self) -> None:
        super().__init__(S3Address("jobs", "all/"), StoreRules(), {})
        self.items: dict[str, tuple[str, str, float]] = {}
        self.history: dict[str, list[str]] = {}
        self.now = 0.0
        self.is_away = False
        self.loses_answers = False
        self.between: Callable[[], Awaitable[Any]] | None = None

    def twin(self) -> "FakeShelf":
        """The same objects for another instance, which may be heard while this one is not."""
        return copy.copy(self)

    async def get(self, name: str) -> Item | None:
        self._come()
        if name not in self.items:
            return None
        text, etag, written_at = self.items[name]
        return Item(text, etag, self.now - written_at)

    async def put(self, name: str, text: str, *, replaces: str | None) -> str:
        between, self.between = self.between, None
        if between is not None:
            await between()
        self._come()
        if (self.items[name][1] if name in self.items else None) != replaces:
            raise Changed
        etag = str(sum(map(len, self.history.values())))
        self.items[name] = text, etag, self.now
        self.history.setdefault(name, []).append(text)
        if self.loses_answers:  # S3's client tries again, and meets what it has written itself
            raise Changed
        return etag

    async def drop(self, *names: str) -> None:
        self._come()
        for name in names:
            self.items.pop(name, None)

    async def names(self, under: str) -> tuple[tuple[str, float], ...]:
        self._come()
        return tuple(
            (name, self.now - written_at)
            for name, (_, _, written_at) in sorted(self.items.items())
            if name.startswith(under)
        )

    def _come(self) -> None:
        if self.is_away:
            raise JobsUnreachable("nobody answers", retry_after_seconds=1)
