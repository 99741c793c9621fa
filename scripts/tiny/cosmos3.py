"""Tiny Cosmos 3: the files of nvidia/Cosmos3-Nano, reasoner and generator in one, at a fraction of its size."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
from diffusers import AutoencoderKLWan, Cosmos3OmniTransformer, UniPCMultistepScheduler
from transformers import Cosmos3OmniConfig, GenerationConfig, PreTrainedTokenizerBase, Qwen3VLVisionModel

from scripts.tiny.reason2 import write_processors
from scripts.tiny.tokenizer import (
    END_OF_TEXT,
    IMAGE_PAD,
    THINKING_TOKENS,
    TURN_END,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    whole_word_ids,
    write_tokenizer,
)
from scripts.tiny.weights import fill, padded_rows

_WIDTH = 64
_LAYERS = 4  # at least one for each entry of deepstack_visual_indexes
_HEADS, _KEY_VALUE_HEADS, _HEAD_WIDTH = 4, 2, 16
_MROPE_SECTION = [4, 2, 2]  # the real sections are 24, 20, 20 of a head of 128: together half a head
_ROPE_THETA = 5_000_000.0
_LATENT_CHANNELS = 16  # 48 in the real one
_CONTEXT_TOKENS = 262_144


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`. report: called with the name of each finished part."""
    tokenizer = write_tokenizer(folder, longest_tokens=_CONTEXT_TOKENS, extra_tokens=THINKING_TOKENS)
    write_tokenizer(folder / "text_tokenizer", longest_tokens=_CONTEXT_TOKENS, extra_tokens=THINKING_TOKENS)
    write_processors(folder)
    report("tokenizers, processors")
    _transformer(tokenizer, seed=seed).save_pretrained(folder / "transformer", max_shard_size="300KB")
    report("transformer")
    reasoner = _reasoner_config(tokenizer)
    vision_encoder = Qwen3VLVisionModel(reasoner.vision_config)
    fill(vision_encoder, seed=seed)
    vision_encoder.save_pretrained(folder / "vision_encoder")
    report("vision_encoder")
    _vae(seed=seed).save_pretrained(folder / "vae")
    report("vae")
    _scheduler().save_pretrained(folder / "scheduler")
    _write_json(folder / "model_index.json", _index())
    _write_reasoner(folder, reasoner, tokenizer, vision_encoder)
    report("scheduler, model_index.json, reasoner")


def _transformer(tokenizer: PreTrainedTokenizerBase, *, seed: int) -> Cosmos3OmniTransformer:
    """Both towers: the Qwen3 that reads the prompt and answers, and the generator beside it in every layer."""
    model = Cosmos3OmniTransformer(
        head_dim=_HEAD_WIDTH,
        hidden_size=_WIDTH,
        intermediate_size=128,
        latent_channel=_LATENT_CHANNELS,
        latent_patch_size=2,
        patch_latent_dim=4 * _LATENT_CHANNELS,
        num_attention_heads=_HEADS,
        num_hidden_layers=_LAYERS,
        num_key_value_heads=_KEY_VALUE_HEADS,
        rope_scaling={"mrope_interleaved": True, "mrope_section": _MROPE_SECTION, "rope_type": "default"},
        rope_theta=_ROPE_THETA,
        vocab_size=padded_rows(len(tokenizer)),
    )
    fill(model, seed=seed, gain=2.0)  # layers that outweigh the embedding, or every word repeats itself
    _mute(model, tokenizer)
    return model


def _mute(model: Cosmos3OmniTransformer, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make whole words the likely output, rather than an early end, control tokens, or bytes that are no text."""
    words = set(whole_word_ids(tokenizer))
    muted = [index for index in range(model.lm_head.weight.shape[0]) if index not in words]
    model.lm_head.weight.data[muted] *= 0.05


def _reasoner_config(tokenizer: PreTrainedTokenizerBase) -> Cosmos3OmniConfig:
    token_id = tokenizer.convert_tokens_to_ids
    return Cosmos3OmniConfig(
        architectures=["Cosmos3OmniForConditionalGeneration"],
        dtype="bfloat16",
        text_config={
            "model_type": "qwen3_vl_text",
            "vocab_size": padded_rows(len(tokenizer)),
            "hidden_size": _WIDTH,
            "intermediate_size": 128,
            "num_hidden_layers": _LAYERS,
            "num_attention_heads": _HEADS,
            "num_key_value_heads": _KEY_VALUE_HEADS,
            "head_dim": _HEAD_WIDTH,
            "max_position_embeddings": _CONTEXT_TOKENS,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": _ROPE_THETA,
                "mrope_section": _MROPE_SECTION,
                "mrope_interleaved": True,
            },
            "bos_token_id": token_id(END_OF_TEXT),
            "eos_token_id": token_id(TURN_END),
            "pad_token_id": token_id(END_OF_TEXT),
        },
        vision_config={
            "model_type": "qwen3_vl_vision",
            "depth": 4,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": _WIDTH,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [0, 1, 2],
        },
        image_token_id=token_id(IMAGE_PAD),
        video_token_id=token_id(VIDEO_PAD),
        vision_start_token_id=token_id(VISION_START),
        vision_end_token_id=token_id(VISION_END),
        tie_word_embeddings=False,
    )


def _write_reasoner(
    folder: Path, config: Cosmos3OmniConfig, tokenizer: PreTrainedTokenizerBase, vision_encoder: Qwen3VLVisionModel
) -> None:
    """What makes the same folder one of transformers: no weights of its own, an index of those in the subfolders."""
    config.save_pretrained(folder)
    token_id = tokenizer.convert_tokens_to_ids
    GenerationConfig(
        bos_token_id=token_id(END_OF_TEXT),
        pad_token_id=token_id(END_OF_TEXT),
        eos_token_id=[token_id(TURN_END), token_id(END_OF_TEXT)],
        do_sample=True,
        temperature=0.7,
        top_k=20,
        top_p=0.8,
        repetition_penalty=1.0,
    ).save_pretrained(folder)
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    listed = json.loads(index.read_text(encoding="utf-8"))
    weight_map = {name: f"transformer/{shard}" for name, shard in listed["weight_map"].items()}
    weight_map |= dict.fromkeys(vision_encoder.state_dict(), "vision_encoder/model.safetensors")
    total = listed["metadata"]["total_size"] + sum(
        tensor.numel() * tensor.element_size() for tensor in vision_encoder.state_dict().values()
    )
    _write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))},
    )


def _vae(*, seed: int) -> AutoencoderKLWan:
    """Wan 2.2's: residual, with pixels folded two by two. The means and deviations are the class's, of Wan 2.1."""
    model = AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=_LATENT_CHANNELS,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        scale_factor_temporal=4,
    )
    fill(model, seed=seed)
    return model


def _scheduler() -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(
        use_karras_sigmas=True,
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        sigma_max=200.0,
        sigma_min=0.147,
    )


def _index() -> dict[str, Any]:
    # The real one lists a sound tokenizer as well, which nothing here would use.
    return {
        "_class_name": "Cosmos3OmniPipeline",
        "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "sound_tokenizer": [None, None],
        "text_tokenizer": ["transformers", "Qwen2Tokenizer"],
        "transformer": ["diffusers", "Cosmos3OmniTransformer"],
        "vae": ["diffusers", "AutoencoderKLWan"],
        "vision_encoder": ["transformers", "Qwen3VLVisionModel"],
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
