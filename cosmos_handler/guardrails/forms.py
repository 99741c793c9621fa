"""How each text classifier is asked, and how its answer reads."""

import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from cosmos_handler.errors import GuardrailsIncomplete
from cosmos_handler.guardrails.aegis import question
from cosmos_handler.guardrails.finding import Finding

_PROBE = "a red cube on a table"


class Form(ABC):
    """One way to ask. max_answer_tokens: enough for the label and its categories."""

    max_answer_tokens: ClassVar[int] = 32

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        if _PROBE not in self.asked(_PROBE):  # a template that drops the words would have everything pass
            raise GuardrailsIncomplete("the text classifier's chat template leaves out what it is asked about")

    @abstractmethod
    def asked(self, text: str) -> str:
        """The whole prompt of the classifier."""

    @abstractmethod
    def read(self, answer: str) -> Finding:
        """What it said; an answer that says neither is an error."""


class Qwen3Guard(Form):
    """Two lines: `Safety: Unsafe` and `Categories: Violent`. Controversial passes, as it does with NVIDIA."""

    _CATEGORIES = (
        "Non-violent Illegal Acts",
        "Violent",
        "Sexual Content or Sexual Acts",
        "PII",
        "Suicide & Self-Harm",
        "Unethical Acts",
        "Politically Sensitive Topics",
        "Copyright Violation",
        "Jailbreak",
    )

    def asked(self, text: str) -> str:
        """By its own template, which holds its policy."""
        return str(self._tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False))

    def read(self, answer: str) -> Finding:
        """The first line decides; of the second only categories that it may name are told."""
        label = re.match(r"\s*Safety: (Safe|Unsafe|Controversial)\b", answer)
        if label is None:
            return _unreadable()
        if label.group(1) != "Unsafe":
            return Finding("passed", label.group(1))
        found = [category for category in self._CATEGORIES if category in answer]
        return Finding("blocked", ", ".join(["Unsafe", *found]))


class LlamaGuard3(Form):
    """`safe`, or `unsafe` and a line with codes such as S1."""

    def asked(self, text: str) -> str:
        """By its own template; that of some versions takes the words as a piece of a list."""
        piece = [{"type": "text", "text": text}]
        for content in (text, piece):
            asked = str(
                self._tokenizer.apply_chat_template(
                    [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
                )
            )
            if text.strip() in asked and repr(piece) not in asked:
                return asked
        return ""

    def read(self, answer: str) -> Finding:
        """Nothing but the two words is an answer."""
        return _read_llama(answer, codes=r"S\d{1,2}")


class Aegis(Form):
    """As Llama-Guard-3 answers, with codes such as O1; asked in the words that the adapter was trained on."""

    def asked(self, text: str) -> str:
        """With NVIDIA's own policy, not that of the template."""
        return question(text)

    def read(self, answer: str) -> Finding:
        """Nothing but the two words is an answer."""
        return _read_llama(answer, codes=r"O\d{1,2}")


FORMS: dict[str, type[Form]] = {"qwen3guard": Qwen3Guard, "llama_guard_3": LlamaGuard3, "aegis": Aegis}


def _read_llama(answer: str, *, codes: str) -> Finding:
    label = re.match(r"\s*(safe|unsafe)\b", answer, re.IGNORECASE)
    if label is None:
        return _unreadable()
    if label.group(1).lower() == "safe":
        return Finding("passed", "safe")
    return Finding("blocked", ", ".join(["unsafe", *re.findall(rf"\b{codes}\b", answer)]))


def _unreadable() -> Finding:
    return Finding("error", "the classifier's answer is neither safe nor unsafe")
