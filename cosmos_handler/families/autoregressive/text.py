"""Prompts as the autoregressive models read them: what T5 makes of them, filled up to one length."""

from typing import Any

import torch

from cosmos_handler.memory.making import TEXT_TOKENS


def prompt_embedding(encoder: Any, tokenizer: Any, prompt: str, device: torch.device) -> torch.Tensor:
    """What T5 makes of a prompt, [512, C]: zeros behind its words, and nothing of what comes after 512 tokens.

    A prompt without words is one token, the end. The models look at all 512, as they did in their training.
    """
    read = tokenizer(prompt, truncation=True, padding="max_length", max_length=TEXT_TOKENS, return_tensors="pt")
    mask = read.attention_mask
    states: torch.Tensor = encoder(
        input_ids=read.input_ids.to(device), attention_mask=mask.to(device), return_dict=False
    )[0][0]
    states[int(mask.sum()) :] = 0
    return states
