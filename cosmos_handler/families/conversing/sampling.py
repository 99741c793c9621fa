"""How the next token is drawn: a task's values as generate()'s arguments, and a penalty that transformers lacks."""

from typing import Any

import torch
from transformers import LogitsProcessor

from cosmos_handler.messages.tasks import Answer


class PresencePenalty(LogitsProcessor):  # type: ignore[misc]
    """Subtracts a value, once, from the logit of every token that the answer has already, as OpenAI means it."""

    def __init__(self, penalty: float, *, prompt_tokens: int) -> None:
        self._penalty = penalty
        self._prompt_tokens = prompt_tokens

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """The scores with the penalty."""
        made = input_ids[:, self._prompt_tokens :]
        present = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, made, value=True)
        return torch.where(present, scores - self._penalty, scores)  # type: ignore[return-value]


def generate_options(task: Answer) -> dict[str, Any]:
    """generate()'s arguments; what is left out comes from the checkpoint's generation_config.json."""
    if task.do_sample is False:
        # Named, because generate() warns where the checkpoint's own sampling values stand beside greedy search.
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None} | _given(
            task, "repetition_penalty"
        )
    return _given(task, "do_sample", "temperature", "top_p", "top_k", "repetition_penalty")


def end_tokens(model: Any) -> set[int]:
    """The tokens after which the model has said all."""
    end = model.generation_config.eos_token_id
    return set(end) if isinstance(end, list) else {end}


def _given(task: Answer, *names: str) -> dict[str, Any]:
    return {name: getattr(task, name) for name in names if getattr(task, name) is not None}
