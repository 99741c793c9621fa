"""Finds listed words and phrases in a text as better-profanity does: letters may be written as look-alikes.

Ours because that package compares every word with every listed one, in turn: seconds for NVIDIA's lists.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set

# A listed letter → the characters that may stand for it. A star hides a vowel.
_LOOK_ALIKES = {
    "a": "a@*4",
    "e": "e*3",
    "i": "i*l1",
    "l": "l1",
    "o": "o*0@",
    "s": "s$5",
    "t": "t7",
    "u": "u*v",
    "v": "v*u",
}
_WORD = re.compile(r"[\w@$*\"']+")
_AROUND = "\"'*_"


class FuzzyWords:
    """Words and phrases to find. Those that are listed in `allowed` as well are left out."""

    def __init__(self, words: Iterable[str], *, allowed: Set[str]) -> None:
        listed = {word.lower() for word in words if word} - allowed
        by_length: dict[int, list[str]] = defaultdict(list)
        for word in sorted(listed):
            by_length[len(word)].append("".join(_pattern_of(letter) for letter in word))
        self._patterns = {length: re.compile("|".join(patterns)) for length, patterns in by_length.items()}
        self._most_words = 1 + max((len(re.findall(r"[^\w@$*\"']", word)) for word in listed), default=0)
        self._most_words = max(self._most_words, 2)  # a word that is torn in two is found whatever is listed

    def occur_in(self, text: str) -> bool:
        """Whether one of them does."""
        return any(self._is_listed(candidate) for candidate in self._candidates(text.lower()))

    def _is_listed(self, candidate: str) -> bool:
        pattern = self._patterns.get(len(candidate))
        return pattern is not None and pattern.fullmatch(candidate) is not None

    def _candidates(self, text: str) -> Iterator[str]:
        """Each word, and the words from it on, joined by nothing, a blank, and what stands between them."""
        matches = list(_WORD.finditer(text))
        for first, match in enumerate(matches):
            joined = spaced = match.group().strip(_AROUND)
            yield match.group()
            yield joined
            for last in matches[first + 1 : first + self._most_words]:
                word = last.group().strip(_AROUND)
                joined, spaced = joined + word, f"{spaced} {word}"
                yield joined
                yield spaced
                yield text[match.start() : last.end()]


def _pattern_of(letter: str) -> str:
    alike = _LOOK_ALIKES.get(letter)
    return f"[{re.escape(alike)}]" if alike else re.escape(letter)
