"""NVIDIA's word lists: words that are found in any spelling, words that must stand there exactly, words let through."""

import re
import string
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from cosmos_handler.artifacts.guardrail_text import wordnet_of
from cosmos_handler.errors import GuardrailsIncomplete
from cosmos_handler.guardrails.finding import Finding
from cosmos_handler.guardrails.fuzzy import FuzzyWords
from cosmos_handler.guardrails.lemmas import Lemmas

# Words shorter than this must stand there letter by letter; longer ones may have one letter too many.
_PARTIAL_CHARACTERS = 4
_STANDS_FOR_ALLOWED = "-"
_BLOCKED = Finding("blocked", "a listed word")


class Blocklist:
    """The check `blocklist`. Raises GuardrailsIncomplete where a list cannot be read or holds nothing."""

    name = "blocklist"

    def __init__(self, folder: Path) -> None:
        """folder: of the guardrails."""
        corpus = wordnet_of(folder)
        if corpus is None:
            raise GuardrailsIncomplete(f"{folder} lacks WordNet")
        self._lemmas = Lemmas(corpus)
        self._allowed = frozenset(_words_in(folder / "blocklist" / "whitelist"))
        custom, exact = (_words_in(folder / "blocklist" / name) for name in ("custom", "exact_match"))
        if not custom:
            raise GuardrailsIncomplete(f"{folder / 'blocklist' / 'custom'} lists no words")
        self._fuzzy = FuzzyWords(custom, allowed=self._allowed)
        self._exact = ExactWords(exact)

    def check(self, text: str) -> Finding:
        """Whether a listed word stands in it, as it is or in its base form."""
        plain = _plain(text)
        lemmas = " ".join(self._lemmas.of(token) for token in re.findall(r"[\w@$*']+|[^\w\s]", plain))
        if any(self._fuzzy.occur_in(self._without_allowed(each)) for each in (plain, lemmas)):
            return _BLOCKED
        return _BLOCKED if self._exact.occur_in(plain) else Finding("passed", "")

    def _without_allowed(self, text: str) -> str:
        return " ".join(
            _STANDS_FOR_ALLOWED if token.strip(string.punctuation) in self._allowed else token for token in text.split()
        )


class ExactWords:
    """Words and phrases that must stand there as they are listed, but for one letter more in the longer ones."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(" ".join(word.split()) for word in words)
        longest_first = sorted(self._words, key=lambda word: (-len(word), word))
        self._whole = re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b") if longest_first else None
        self._partial = frozenset(word for word in self._words if len(word) >= _PARTIAL_CHARACTERS)
        self._lengths = sorted({len(word.split()) for word in self._partial})

    def occur_in(self, text: str) -> bool:
        """Whether one of them does, in a lower-case text."""
        words = text.split()
        if self._whole is not None and self._whole.search(" ".join(words)):
            return True
        return any(
            self._has_one_more(" ".join(words[first : first + length]))
            for length in self._lengths
            for first in range(len(words) - length + 1)
        )

    def _has_one_more(self, phrase: str) -> bool:
        return any(phrase[:place] + phrase[place + 1 :] in self._partial for place in range(len(phrase)))


def _plain(text: str) -> str:
    """In lower case and ASCII: letters with marks and full-width ones as plain ones, invisible ones left out."""
    pieces = unicodedata.normalize("NFKD", text)
    kept = "".join(letter for letter in pieces if unicodedata.category(letter) not in ("Cf", "Mn"))
    return re.sub(r"[^\x00-\x7f]+", " ", kept).lower()


def _words_in(folder: Path) -> list[str]:
    """The lines of every file in a folder, in lower case."""
    try:
        texts = [path.read_text(encoding="utf-8") for path in sorted(folder.iterdir()) if path.is_file()]
    except (OSError, ValueError) as error:
        raise GuardrailsIncomplete(f"the word lists in {folder} cannot be read: {error}") from error
    return [word.strip().lower() for text in texts for word in text.splitlines() if word.strip()]
