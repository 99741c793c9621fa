"""Tiny guardrails in the layout of NVIDIA's: word lists, a miniature of NLTK's WordNet, and networks that judge."""

from collections.abc import Callable
from pathlib import Path

from scripts.tiny import guardrails_video
from scripts.tiny.text_guard import write_qwen3guard

# Few, but they block: found in any spelling, found letter by letter, let through although they look like one.
CUSTOM = ("bomb", "bloodbath", "decapitate", "child abuse")
EXACT_MATCH = ("napalm", "nerve agent", "gore")
WHITELIST = ("bombs-eye", "tomb")

# Nouns of the lists and of everyday prompts, so that "bombs" is found and "glass" does not become "glas".
_NOUNS = ("abuse", "bomb", "child", "glass", "gore", "knife", "lens", "napalm", "robot", "tomb", "woman", "wolf")
_IRREGULAR = {"children": "child", "knives": "knife", "wolves": "wolf", "women": "woman"}
_SHELF = "blocklist/nltk_data/corpora/wordnet"


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write them into the existing, empty `folder`. report: called with the name of each finished part."""
    write_blocklist(folder)
    report("blocklist, nltk_data")
    write_qwen3guard(folder / "Qwen3Guard-Gen-0.6B", seed=seed)
    report("text classifier")
    guardrails_video.write(folder, seed=seed, report=report)


def write_blocklist(folder: Path) -> None:
    """Write NVIDIA's three kinds of lists, and the two files of WordNet that are read."""
    for name, words in (("custom", CUSTOM), ("exact_match", EXACT_MATCH), ("whitelist", WHITELIST)):
        place = folder / "blocklist" / name
        place.mkdir(parents=True)
        (place / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    corpus = folder / _SHELF
    corpus.mkdir(parents=True)
    # lemma, part of speech, senses, pointers, senses again, tagged ones, and where the sense lies in data.noun
    lines = [f"{noun} n 1 0 1 0 {number:08d}  " for number, noun in enumerate(_NOUNS, 1)]
    (corpus / "index.noun").write_text("\n".join(["  1 a miniature of WordNet's index", *lines]) + "\n")
    (corpus / "noun.exc").write_text("".join(f"{form} {noun}\n" for form, noun in sorted(_IRREGULAR.items())))
