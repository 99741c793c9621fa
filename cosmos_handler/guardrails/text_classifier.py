"""A language model that was trained to judge: greedy, a few tokens, window by window where the prompt is long."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig

from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.artifacts.guardrail_text import TEXT_CLASSIFIER_PART, kind_of
from cosmos_handler.errors import GuardrailsIncomplete
from cosmos_handler.guardrails.finding import Finding
from cosmos_handler.guardrails.forms import FORMS
from cosmos_handler.memory.guarding import OVERLAP_TOKENS, WINDOW_TOKENS
from cosmos_handler.memory.place import PlacedParts


class TextClassifier:
    """The check `text_classifier`. Raises GuardrailsIncomplete where its tokenizer does not load."""

    name = "text_classifier"

    def __init__(self, guardrails: Guardrails, parts: PlacedParts) -> None:
        (part,) = (part for part in guardrails.parts if part.name == TEXT_CLASSIFIER_PART)
        folder = Path(guardrails.path, part.folder)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GuardrailsIncomplete(f"the tokenizer in {folder} does not load: {error}") from error
        self.form = FORMS[kind_of(folder)](self._tokenizer)
        self._parts = parts

    def check(self, text: str) -> Finding:
        """The first window that does not pass decides; where all pass, the last one is told."""
        finding = Finding("passed", "")
        for window in self._windows(_defused(text, self._tokenizer)):
            finding = self.form.read(self._answer(self.form.asked(window)))
            if finding.state != "passed":
                break
        return finding

    def _windows(self, text: str) -> Iterator[str]:
        """Pieces of the text, by its tokens; the whole text where it fits."""
        places = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        first = 0
        while first + WINDOW_TOKENS < len(places):
            yield text[places[first][0] : places[first + WINDOW_TOKENS - 1][1]]
            first += WINDOW_TOKENS - OVERLAP_TOKENS
        yield text[places[first][0] :] if first else text

    @torch.inference_mode()
    def _answer(self, asked: str) -> str:
        # The template writes the first token itself, where the model wants one.
        tokens = self._tokenizer([asked], add_special_tokens=False, return_tensors="pt").to(self._parts.device)
        end = self._tokenizer.eos_token_id
        greedy = GenerationConfig(
            do_sample=False, max_new_tokens=self.form.max_answer_tokens, eos_token_id=end, pad_token_id=end
        )
        with self._parts.use((TEXT_CLASSIFIER_PART,)) as modules:
            model: Any = modules[TEXT_CLASSIFIER_PART]
            made = model.generate(**tokens, generation_config=greedy)
        return str(self._tokenizer.decode(made[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True))


def _defused(text: str, tokenizer: Any) -> str:
    """Without the tokens that would end the user's turn and answer in the model's stead."""
    for token in sorted({*tokenizer.all_special_tokens, "[INST]", "[/INST]"}):
        text = text.replace(token, " ".join(token))
    return text
