"""What the tiny models of Qwen's kind have in common: which token is which, and how the reasoners draw the next."""

from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from scripts.tiny.tokenizer import END_OF_TEXT, IMAGE_PAD, TURN_END, VIDEO_PAD, VISION_END, VISION_START


def text_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The tokens that a text_config names."""
    token_id = tokenizer.convert_tokens_to_ids
    return {
        "bos_token_id": token_id(END_OF_TEXT),
        "eos_token_id": token_id(TURN_END),
        "pad_token_id": token_id(END_OF_TEXT),
    }


def vision_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The tokens that stand for images and videos, which the configuration itself names."""
    token_id = tokenizer.convert_tokens_to_ids
    return {
        "image_token_id": token_id(IMAGE_PAD),
        "video_token_id": token_id(VIDEO_PAD),
        "vision_start_token_id": token_id(VISION_START),
        "vision_end_token_id": token_id(VISION_END),
    }


def generation_config(tokenizer: PreTrainedTokenizerBase, **drawing: Any) -> GenerationConfig:
    """A generation_config.json that samples. drawing: temperature and the like, as the published files have them."""
    token_id = tokenizer.convert_tokens_to_ids
    return GenerationConfig(
        bos_token_id=token_id(END_OF_TEXT),
        pad_token_id=token_id(END_OF_TEXT),
        eos_token_id=[token_id(TURN_END), token_id(END_OF_TEXT)],
        do_sample=True,
        **drawing,
    )
