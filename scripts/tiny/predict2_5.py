"""Tiny Predict2.5: the diffusers form of nvidia/Cosmos-Predict2.5-2B, every component at a fraction of its size."""

from collections.abc import Callable
from pathlib import Path

from diffusers import AutoencoderKLWan, CosmosTransformer3DModel, UniPCMultistepScheduler
from transformers import PreTrainedTokenizerBase, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from scripts.tiny.files import write_index
from scripts.tiny.qwen import text_tokens, vision_tokens
from scripts.tiny.tokenizer import write_tokenizer
from scripts.tiny.weights import fill, padded_rows

_TEXT_WIDTH = 32
_TEXT_LAYERS = 2
_HEADS, _HEAD_WIDTH = 2, 16
_CROSS_ATTENTION_WIDTH = 32
# What every network of the kind is built from.
NETWORK = {
    "num_attention_heads": _HEADS,
    "attention_head_dim": _HEAD_WIDTH,
    "mlp_ratio": 4.0,
    "text_embed_dim": _CROSS_ATTENTION_WIDTH,
    "adaln_lora_dim": 4,
    "max_size": (128, 240, 240),
    "patch_size": (1, 2, 2),
    "rope_scale": (1.0, 3.0, 3.0),
    "extra_pos_embed_type": None,
    "use_crossattn_projection": True,
    "crossattn_proj_in_channels": _TEXT_LAYERS * _TEXT_WIDTH,  # the hidden states of all layers, side by side
    "encoder_hidden_states_channels": _CROSS_ATTENTION_WIDTH,
}
WIDTH = _HEADS * _HEAD_WIDTH


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`. report: called with the name of each finished part."""
    tokenizer = write_tokenizer(folder / "tokenizer", longest_tokens=131_072)
    report("tokenizer")
    text_encoder(tokenizer, seed=seed).save_pretrained(folder / "text_encoder")
    report("text_encoder")
    _transformer(seed=seed).save_pretrained(folder / "transformer")
    report("transformer")
    vae(seed=seed).save_pretrained(folder / "vae")
    report("vae")
    scheduler().save_pretrained(folder / "scheduler")
    write_index(
        folder,
        "Cosmos2_5_PredictBasePipeline",
        {
            # What the pipeline's own save_pretrained leaves for a checker that has no files: the caller brings one.
            "safety_checker": None,
            "scheduler": ("diffusers", "UniPCMultistepScheduler"),
            "text_encoder": ("transformers", "Qwen2_5_VLForConditionalGeneration"),
            "tokenizer": ("transformers", "Qwen2Tokenizer"),
            "transformer": ("diffusers", "CosmosTransformer3DModel"),
            "vae": ("diffusers", "AutoencoderKLWan"),
        },
    )
    report("scheduler, model_index.json")


def text_encoder(tokenizer: PreTrainedTokenizerBase, *, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """Cosmos-Reason1, which is a Qwen2.5-VL: untied output layer, multimodal rotary positions, vision tower."""
    configuration = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": padded_rows(len(tokenizer)),
            "hidden_size": _TEXT_WIDTH,
            "intermediate_size": 64,
            "num_hidden_layers": _TEXT_LAYERS,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 128_000,
            "rms_norm_eps": 1e-6,
            # The real sections are 16, 24, 24 of a head of 128: together half a head.
            "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [2, 3, 3]},
            **text_tokens(tokenizer),
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": _TEXT_WIDTH,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        **vision_tokens(tokenizer),
        tie_word_embeddings=False,
    )
    model = Qwen2_5_VLForConditionalGeneration(configuration)
    fill(model, seed=seed)
    return model


def _transformer(*, seed: int) -> CosmosTransformer3DModel:
    model = CosmosTransformer3DModel(
        in_channels=16 + 1,  # latents and the mask of the frames that are given
        out_channels=16,
        num_layers=2,
        concat_padding_mask=True,
        **NETWORK,
    )
    fill(model, seed=seed)
    return model


def vae(*, seed: int) -> AutoencoderKLWan:
    # The means and deviations of the latents are the class's defaults, which are those of Wan2.1.
    model = AutoencoderKLWan(
        base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    fill(model, seed=seed)
    return model


def scheduler(*, sigma_min: float = 0.01) -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(
        use_karras_sigmas=True,
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        sigma_max=200.0,
        sigma_min=sigma_min,
    )
