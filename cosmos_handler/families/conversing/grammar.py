"""Holds an answer to a JSON schema while it is made: only tokens that can still lead to a valid one may be drawn."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import LogitsProcessor

from cosmos_handler.errors import InvalidField
from cosmos_handler.messages.tasks import Schema

_THINK, _END_THINK = "<think>", "</think>"


class JsonAnswer(LogitsProcessor):  # type: ignore[misc]
    """Leaves only the tokens that the schema allows; with thinks, after thoughts that end in a closing tag.

    open_already: the prompt itself ended in an opening tag.
    Raises InvalidField when it is called for a schema that turns out to have no answer.
    """

    def __init__(
        self, schema: Schema, tokenizer: Any, *, ends: frozenset[int], thinks: bool, open_already: bool
    ) -> None:
        grammar = _grammar(schema.text, tokenizer, thinks=thinks, open_already=open_already)
        self._field = schema.field
        self._matcher = LLMatcher(_tokens(tokenizer, ends), grammar)
        self._seen: int | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """The scores, minus infinity where the schema forbids the token."""
        length = input_ids.shape[1]
        if self._seen is not None:
            self._matcher.consume_tokens(input_ids[0, self._seen : length].tolist())
        self._seen = length
        allowed = torch.from_numpy(np.frombuffer(self._matcher.compute_logit_bias(), dtype=np.uint8) > 0)
        if self._matcher.is_error():  # nothing can follow the schema, or it asks for more work a token than is allowed
            problem = self._matcher.get_error().splitlines()[0][:200]
            raise InvalidField(self._field, f"cannot be enforced to the end: {problem}")
        # The output layer has spare rows behind the last token.
        forbidden = torch.ones(scores.shape[1], dtype=torch.bool)
        forbidden[: len(allowed)] = ~allowed[: scores.shape[1]]
        return scores.masked_fill(forbidden.to(scores.device), float("-inf"))  # type: ignore[return-value]


def _grammar(schema: str, tokenizer: Any, *, thinks: bool, open_already: bool) -> str:
    if not (thinks or open_already):
        return f"start: answer\nanswer: %json {schema}"
    # Where the tags are tokens of their own they are written bare; elsewhere they are text like any other.
    if tokenizer.convert_tokens_to_ids(_END_THINK) in (None, tokenizer.unk_token_id):
        opening, thoughts = f'"{_THINK}" ', r"thoughts[lazy]: /(.|\n)*<\/think>/"
    else:
        opening, thoughts = f"{_THINK} ", f"thoughts: TEXT {_END_THINK}\nTEXT: /(.|\\n)*/"
    first = "" if open_already else opening
    return f'start: {first}thoughts "\\n\\n" answer\n{thoughts}\nanswer: %json {schema}'


@lru_cache(maxsize=8)  # about a second for a vocabulary of 150,000
def _tokens(tokenizer: Any, ends: frozenset[int]) -> LLTokenizer:
    return LLTokenizer(tokenizer.backend_tokenizer.to_str(), eos_token=sorted(ends))
