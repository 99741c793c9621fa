"""Tiny Reason1: the files of nvidia/Cosmos-Reason1-7B, which is a Qwen2.5-VL, at a fraction of its size."""

from collections.abc import Callable
from pathlib import Path

from transformers import (
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from scripts.tiny.files import write_json
from scripts.tiny.qwen import generation_config, text_tokens, vision_tokens
from scripts.tiny.tokenizer import write_tokenizer
from scripts.tiny.weights import fill, mute_all_but_words, padded_rows

_TEXT_WIDTH = 64
_CONTEXT_TOKENS = 128_000

# One file for images and videos, as it was usual before transformers had video processors: both read it.
_PROCESSOR = {
    "min_pixels": 3_136,
    "max_pixels": 12_845_056,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
}


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`. report: called with the name of each finished part."""
    tokenizer = write_tokenizer(folder, longest_tokens=_CONTEXT_TOKENS)
    report("tokenizer")
    model = _model(tokenizer, seed=seed)
    model.generation_config = generation_config(tokenizer, temperature=0.1, top_p=0.001, repetition_penalty=1.05)
    model.save_pretrained(folder)
    report("model")
    write_json(folder / "preprocessor_config.json", _PROCESSOR)
    report("processor")


def _model(tokenizer: PreTrainedTokenizerBase, *, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    configuration = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": padded_rows(len(tokenizer)),
            "hidden_size": _TEXT_WIDTH,
            "intermediate_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": _CONTEXT_TOKENS,
            # The real sections are 16, 24, 24 of a head of 128: together half a head.
            "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [2, 3, 3]},
            **text_tokens(tokenizer),
        },
        vision_config={
            "depth": 4,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": _TEXT_WIDTH,
            "tokens_per_second": 2,
            "window_size": 112,
            "fullatt_block_indexes": [1, 3],  # the real ones are 7, 15, 23 and 31 of 32
        },
        **vision_tokens(tokenizer),
    )
    model = Qwen2_5_VLForConditionalGeneration(configuration)
    fill(model, seed=seed, gain=2.0)  # layers that outweigh the embedding, or every word repeats itself
    mute_all_but_words(model.get_output_embeddings().weight, tokenizer)
    return model
