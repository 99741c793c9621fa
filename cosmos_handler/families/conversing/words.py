"""Receives tokens from generate() one by one: words out as soon as they are whole, and a way to stop."""

from collections.abc import Callable
from typing import Any

import torch
from transformers.generation.streamers import BaseStreamer

# A character has at most four bytes, so that more tokens than this cannot be the beginning of one.
_MAX_TOKENS_OF_A_CHARACTER = 4


class WordStreamer(BaseStreamer):  # type: ignore[misc]
    """Calls back with text; on_token is called for every token and may raise to stop the generation."""

    def __init__(self, tokenizer: Any, *, on_text: Callable[[str], None], on_token: Callable[[int], None]) -> None:
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._on_token = on_token
        self._pending: list[int] = []
        self._count = -1  # generate() hands over the prompt first

    def put(self, value: torch.Tensor) -> None:
        """The prompt, then each token."""
        self._count += 1
        if self._count == 0:
            return
        self._pending.extend(value.reshape(-1).tolist())
        text = self._tokenizer.decode(self._pending, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if not text.endswith("\ufffd") or len(self._pending) > _MAX_TOKENS_OF_A_CHARACTER:
            self._emit(text)
        self._on_token(self._count)

    def end(self) -> None:
        """There are no more."""
        self._emit(self._tokenizer.decode(self._pending, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _emit(self, text: str) -> None:
        self._pending = []
        if text:
            self._on_text(text)
