"""The base forms of nouns, by WordNet's rules over the files that NLTK calls its corpus `wordnet`.

Read here and not by NLTK, which takes no links: a folder in the hub's cache consists of them.
"""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from cosmos_handler.errors import GuardrailsIncomplete

# Endings of nouns and what they stand for, as WordNet's `morphy` has them.
_ENDINGS = (
    ("ses", "s"),
    ("ves", "f"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
    ("s", ""),
)


class Lemmas:
    """Base forms of words. Raises GuardrailsIncomplete where the files cannot be read."""

    def __init__(self, corpus: Path) -> None:
        try:
            read = _reader(corpus)
            self._nouns = frozenset(
                line.split(" ", 1)[0] for line in read("index.noun").splitlines() if line and line[0] != " "
            )
            self._exceptions = _exceptions(read("noun.exc"))
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise GuardrailsIncomplete(f"WordNet in {corpus} cannot be read: {error}") from error
        if not self._nouns:
            raise GuardrailsIncomplete(f"WordNet in {corpus} lists no nouns")

    def of(self, word: str) -> str:
        """The shortest base form of a lower-case word; the word itself where it is one, or is not known."""
        if word in self._exceptions:
            found = [form for form in (word, *self._exceptions[word]) if form in self._nouns]
            return min(found, key=len, default=word)
        forms = {word}
        known = forms & self._nouns
        while forms:
            forms = {form[: -len(end)] + base for form in forms for end, base in _ENDINGS if form.endswith(end)}
            known |= forms & self._nouns
            if forms & self._nouns:
                break
        return min(sorted(known), key=len, default=word)


def _reader(corpus: Path) -> Callable[[str], str]:
    if corpus.suffix != ".zip":
        return lambda name: (corpus / name).read_text(encoding="utf-8")

    def from_archive(name: str) -> str:
        with zipfile.ZipFile(corpus) as archive:
            return archive.read(f"wordnet/{name}").decode("utf-8")

    return from_archive


def _exceptions(text: str) -> Mapping[str, tuple[str, ...]]:
    lines = (line.split() for line in text.splitlines())
    return {words[0]: tuple(words[1:]) for words in lines if len(words) > 1}
