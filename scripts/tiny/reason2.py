"""Tiny Reason2: the files of nvidia/Cosmos-Reason2-2B, which is a Qwen3-VL, at a fraction of its size."""

from collections.abc import Callable
from pathlib import Path

from transformers import PreTrainedTokenizerBase, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from scripts.tiny.files import write_json
from scripts.tiny.qwen import generation_config, text_tokens, vision_tokens
from scripts.tiny.tokenizer import THINKING_TOKENS, write_tokenizer
from scripts.tiny.weights import fill, mute_all_but_words, padded_rows

_TEXT_WIDTH = 64
_CONTEXT_TOKENS = 262_144

# Pixel budgets, rates and class names are those of the published files.
_PATCHES = {
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor",
}
_IMAGE_PROCESSOR = {
    "size": {"longest_edge": 16_777_216, "shortest_edge": 65_536},
    **_PATCHES,
    "image_processor_type": "Qwen2VLImageProcessorFast",
}
_VIDEO_PROCESSOR = {
    "size": {"longest_edge": 25_165_824, "shortest_edge": 4_096},
    **_PATCHES,
    "video_processor_type": "Qwen3VLVideoProcessor",
    "do_sample_frames": True,
    "fps": 2,
    "min_frames": 4,
    "max_frames": 768,
}


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`. report: called with the name of each finished part."""
    tokenizer = write_tokenizer(folder, longest_tokens=_CONTEXT_TOKENS, extra_tokens=THINKING_TOKENS)
    report("tokenizer")
    model = _model(tokenizer, seed=seed)
    model.generation_config = generation_config(tokenizer, temperature=0.7, top_k=20, top_p=0.8, repetition_penalty=1.0)
    model.save_pretrained(folder)
    report("model")
    write_processors(folder)
    report("processors")


def write_processors(folder: Path) -> None:
    """Write the settings of Qwen3-VL's image and video processors, which all reasoners since Reason2 have."""
    for name, content in (
        ("preprocessor_config.json", _IMAGE_PROCESSOR),
        ("video_preprocessor_config.json", _VIDEO_PROCESSOR),
    ):
        write_json(folder / name, content)


def _model(tokenizer: PreTrainedTokenizerBase, *, seed: int) -> Qwen3VLForConditionalGeneration:
    configuration = Qwen3VLConfig(
        text_config={
            "vocab_size": padded_rows(len(tokenizer)),
            "hidden_size": _TEXT_WIDTH,
            "intermediate_size": 128,
            "num_hidden_layers": 4,  # at least one for each entry of deepstack_visual_indexes
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": _CONTEXT_TOKENS,
            # The real sections are 24, 20, 20 of a head of 128: together half a head.
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5_000_000.0,
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
            "tie_word_embeddings": True,
            **text_tokens(tokenizer),
        },
        vision_config={
            "depth": 4,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": _TEXT_WIDTH,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [0, 1, 2],  # the real ones are 5, 11 and 17 of 24
        },
        **vision_tokens(tokenizer),
        tie_word_embeddings=True,  # as the 2B model
    )
    model = Qwen3VLForConditionalGeneration(configuration)
    fill(model, seed=seed, gain=2.0)  # layers that outweigh the embedding, or every word repeats itself
    mute_all_but_words(model.get_input_embeddings().weight, tokenizer)  # the output layer is the embedding
    return model
