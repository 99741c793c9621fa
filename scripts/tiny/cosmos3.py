"""Tiny Cosmos 3: the files of nvidia/Cosmos3-Nano, reasoner and generator in one, at a fraction of its size."""

import json
from collections.abc import Callable
from pathlib import Path

from diffusers import AutoencoderKLWan, Cosmos3OmniTransformer
from transformers import Cosmos3OmniConfig, PreTrainedTokenizerBase, Qwen3VLVisionModel

from scripts.tiny.files import write_index, write_json
from scripts.tiny.predict2_5 import scheduler
from scripts.tiny.qwen import generation_config, text_tokens, vision_tokens
from scripts.tiny.reason2 import write_processors
from scripts.tiny.tokenizer import THINKING_TOKENS, write_tokenizer
from scripts.tiny.weights import fill, mute_all_but_words, padded_rows

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
    scheduler(sigma_min=0.147).save_pretrained(folder / "scheduler")
    write_index(
        folder,
        "Cosmos3OmniPipeline",
        {
            "scheduler": ("diffusers", "UniPCMultistepScheduler"),
            "sound_tokenizer": None,  # the real one lists one, which nothing here would use
            "text_tokenizer": ("transformers", "Qwen2Tokenizer"),
            "transformer": ("diffusers", "Cosmos3OmniTransformer"),
            "vae": ("diffusers", "AutoencoderKLWan"),
            "vision_encoder": ("transformers", "Qwen3VLVisionModel"),
        },
    )
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
    mute_all_but_words(model.lm_head.weight, tokenizer)
    return model


def _reasoner_config(tokenizer: PreTrainedTokenizerBase) -> Cosmos3OmniConfig:
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
            **text_tokens(tokenizer),
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
        **vision_tokens(tokenizer),
        tie_word_embeddings=False,
    )


def _write_reasoner(
    folder: Path, config: Cosmos3OmniConfig, tokenizer: PreTrainedTokenizerBase, vision_encoder: Qwen3VLVisionModel
) -> None:
    """What makes the same folder one of transformers: no weights of its own, an index of those in the subfolders."""
    config.save_pretrained(folder)
    generation_config(tokenizer, temperature=0.7, top_k=20, top_p=0.8, repetition_penalty=1.0).save_pretrained(folder)
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    listed = json.loads(index.read_text(encoding="utf-8"))
    weight_map = {name: f"transformer/{shard}" for name, shard in listed["weight_map"].items()}
    weight_map |= dict.fromkeys(vision_encoder.state_dict(), "vision_encoder/model.safetensors")
    total = listed["metadata"]["total_size"] + sum(
        tensor.numel() * tensor.element_size() for tensor in vision_encoder.state_dict().values()
    )
    write_json(
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
