#!/usr/bin/env python3
"""Writes what the planner knows of the public models' networks, without their weights.

Every network is built from its published configuration on torch's meta device, where tensors have sizes and no memory,
and measured by the rule by which checkpoints on disk are.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cosmos_handler.artifacts.blocks import blocks_of  # noqa: E402
from cosmos_handler.artifacts.native.autoregressive import PUBLISHED  # noqa: E402

TARGET = ROOT / "cosmos_handler" / "memory" / "catalogue.json"

_DIT: Mapping[str, Any] = {
    "_class_name": "CosmosTransformer3DModel",
    "in_channels": 16, "out_channels": 16, "num_attention_heads": 32, "attention_head_dim": 128, "num_layers": 28,
    "mlp_ratio": 4.0, "text_embed_dim": 1024, "adaln_lora_dim": 256, "max_size": [128, 240, 240],
    "patch_size": [1, 2, 2], "rope_scale": [2.0, 1.0, 1.0], "concat_padding_mask": True,
    "extra_pos_embed_type": "learnable",
}  # fmt: skip
_LARGE = {"num_attention_heads": 40, "num_layers": 36}
_SMALL = {"num_attention_heads": 16, "num_layers": 28}
_PREDICT2 = {**_DIT, "rope_scale": [1.0, 4.0, 4.0], "extra_pos_embed_type": None}
_FROM_MEDIA = {"in_channels": 17, "rope_scale": [1.0, 3.0, 3.0]}
_TEXT_OF_ALL_LAYERS = {
    "use_crossattn_projection": True, "crossattn_proj_in_channels": 100352, "encoder_hidden_states_channels": 1024,
}  # fmt: skip
_PREDICT25 = {**_PREDICT2, **_FROM_MEDIA, **_TEXT_OF_ALL_LAYERS}
_PICTURE = {"img_context_dim_in": 1152, "img_context_dim_out": 2048}
_CONTROL: Mapping[str, Any] = {
    "_class_name": "CosmosControlNetModel",
    "n_controlnet_blocks": 4, "in_channels": 130, "latent_channels": 18, "model_channels": 2048,
    "num_attention_heads": 16, "attention_head_dim": 128, "mlp_ratio": 4.0, "text_embed_dim": 1024,
    "adaln_lora_dim": 256, "patch_size": [1, 2, 2], "max_size": [128, 240, 240], "rope_scale": [1.0, 3.0, 3.0],
    "extra_pos_embed_type": None,
}  # fmt: skip
_WAN21 = {"_class_name": "AutoencoderKLWan"}
_WAN22 = {
    "_class_name": "AutoencoderKLWan",
    "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2,
    "temperal_downsample": [False, True, True], "is_residual": True, "in_channels": 12, "out_channels": 12,
    "patch_size": 2, "scale_factor_spatial": 16, "scale_factor_temporal": 4,
}  # fmt: skip
_OMNI: Mapping[str, Any] = {
    "_class_name": "Cosmos3OmniTransformer",
    "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "latent_channel": 48, "latent_patch_size": 2, "patch_latent_dim": 192,
    "vocab_size": 151936,
}  # fmt: skip
_OMNI_SUPER = {"hidden_size": 5120, "intermediate_size": 25600, "num_hidden_layers": 64, "num_attention_heads": 64}


def _qwen25_vl() -> dict[str, Any]:
    return {
        "model_type": "qwen2_5_vl",
        "tie_word_embeddings": False,
        "text_config": {
            "model_type": "qwen2_5_vl_text", "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944,
            "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
            "max_position_embeddings": 128000,
        },
        "vision_config": {
            "model_type": "qwen2_5_vl_vision", "depth": 32, "hidden_size": 1280, "intermediate_size": 3420,
            "num_heads": 16, "out_hidden_size": 3584, "patch_size": 14, "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
    }  # fmt: skip


def _qwen3_vl(width: int, mlp: int, layers: int, heads: int, *, eyes: Mapping[str, Any], tied: bool) -> dict[str, Any]:
    return {
        "model_type": "qwen3_vl",
        "tie_word_embeddings": tied,
        "text_config": {
            "model_type": "qwen3_vl_text", "vocab_size": 151936, "hidden_size": width, "intermediate_size": mlp,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": 8, "head_dim": 128,
            "max_position_embeddings": 262144, "tie_word_embeddings": tied,
        },
        "vision_config": {"model_type": "qwen3_vl_vision", **eyes, "out_hidden_size": width},
    }  # fmt: skip


_EYES = {
    "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "patch_size": 16,
    "spatial_merge_size": 2, "temporal_patch_size": 2, "deepstack_visual_indexes": [8, 16, 24],
}  # fmt: skip
_SMALL_EYES = {
    **_EYES, "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "deepstack_visual_indexes": [5, 11, 17]
}  # fmt: skip
# Of our own classes, the modules they are in.
_OURS = "cosmos_handler.families.autoregressive"
_CODE_TOKENIZER = {"width": 128, "latent_channels": 16, "mirrored": True}
_DIFFUSION_DECODER = {
    **{key: value for key, value in _DIT.items() if key != "_class_name"},
    "num_codes": 64000, "code_width": 32, "in_channels": 48, "rope_scale": [1.0, 1.5, 1.5],
    "extra_pos_embed_type": None,
}  # fmt: skip

# What each network is called here: library, class, stored type, configuration.
NETWORKS: Mapping[str, tuple[str, str, str, Mapping[str, Any]]] = {
    "predict1_7b": ("diffusers", "CosmosTransformer3DModel", "bfloat16", _DIT),
    "predict1_14b": ("diffusers", "CosmosTransformer3DModel", "bfloat16",
                     {**_DIT, **_LARGE, "rope_scale": [2.0, 2.0, 2.0]}),
    "predict1_7b_media": ("diffusers", "CosmosTransformer3DModel", "bfloat16", {**_DIT, "in_channels": 17}),
    "predict1_14b_media": ("diffusers", "CosmosTransformer3DModel", "bfloat16",
                           {**_DIT, **_LARGE, "rope_scale": [2.0, 2.0, 2.0], "in_channels": 17}),
    "predict2_0.6b": ("diffusers", "CosmosTransformer3DModel", "bfloat16",
                      {**_PREDICT2, "num_attention_heads": 20, "attention_head_dim": 64, "num_layers": 20}),
    "predict2_2b": ("diffusers", "CosmosTransformer3DModel", "bfloat16", {**_PREDICT2, **_SMALL}),
    "predict2_14b": ("diffusers", "CosmosTransformer3DModel", "bfloat16", {**_PREDICT2, **_LARGE}),
    "predict2_2b_media": ("diffusers", "CosmosTransformer3DModel", "bfloat16",
                          {**_PREDICT2, **_SMALL, **_FROM_MEDIA}),
    "predict2_14b_media": ("diffusers", "CosmosTransformer3DModel", "bfloat16",
                           {**_PREDICT2, **_LARGE, **_FROM_MEDIA}),
    "predict25_2b": ("diffusers", "CosmosTransformer3DModel", "bfloat16", {**_PREDICT25, **_SMALL}),
    "predict25_14b": ("diffusers", "CosmosTransformer3DModel", "bfloat16", {**_PREDICT25, **_LARGE}),
    "transfer25_2b": ("diffusers", "CosmosTransformer3DModel", "bfloat16",
                      {**_PREDICT25, **_SMALL, **_PICTURE, "img_context_num_tokens": 256,
                       "controlnet_block_every_n": 7}),
    "transfer25_control": ("diffusers", "CosmosControlNetModel", "bfloat16",
                           {**_CONTROL, **_TEXT_OF_ALL_LAYERS, **_PICTURE}),
    "transfer1_control": ("diffusers", "CosmosControlNetModel", "bfloat16",
                          {**_CONTROL, "n_controlnet_blocks": 3, "in_channels": 18, "latent_channels": 17,
                           "model_channels": 4096, "num_attention_heads": 32, "extra_pos_embed_type": "learnable"}),
    "wan21_vae": ("diffusers", "AutoencoderKLWan", "bfloat16", _WAN21),
    "wan22_vae": ("diffusers", "AutoencoderKLWan", "bfloat16", _WAN22),
    "cosmos_vae": ("diffusers", "AutoencoderKLCosmos", "bfloat16", {"_class_name": "AutoencoderKLCosmos"}),
    "t5_11b": ("transformers", "T5EncoderModel", "bfloat16",
               {"model_type": "t5", "d_model": 1024, "num_layers": 24, "num_heads": 128, "d_kv": 128, "d_ff": 65536,
                "vocab_size": 32128, "feed_forward_proj": "relu"}),
    "qwen25_vl_7b": ("transformers", "Qwen2_5_VLForConditionalGeneration", "bfloat16", _qwen25_vl()),
    "qwen3_vl_2b": ("transformers", "Qwen3VLForConditionalGeneration", "bfloat16",
                    _qwen3_vl(2048, 6144, 28, 16, eyes=_SMALL_EYES, tied=True)),
    "qwen3_vl_8b": ("transformers", "Qwen3VLForConditionalGeneration", "bfloat16",
                    _qwen3_vl(4096, 12288, 36, 32, eyes=_EYES, tied=False)),
    "qwen3_vl_32b": ("transformers", "Qwen3VLForConditionalGeneration", "bfloat16",
                     _qwen3_vl(5120, 25600, 64, 64, eyes=_EYES, tied=False)),
    "cosmos3_nano": ("diffusers", "Cosmos3OmniTransformer", "bfloat16", _OMNI),
    "cosmos3_super": ("diffusers", "Cosmos3OmniTransformer", "bfloat16", {**_OMNI, **_OMNI_SUPER}),
    "cosmos3_nano_eyes": ("transformers", "Qwen3VLVisionModel", "bfloat16",
                          {"model_type": "qwen3_vl_vision", **_EYES, "out_hidden_size": 4096}),
    "cosmos3_super_eyes": ("transformers", "Qwen3VLVisionModel", "bfloat16",
                           {"model_type": "qwen3_vl_vision", **_EYES, "out_hidden_size": 5120}),
    **{f"autoregressive_{size.partition('-')[0].lower()}":
       (f"{_OURS}.network", "CosmosAutoregressive", "bfloat16", config) for size, config in PUBLISHED.items()},
    "cosmos_code_tokenizer": (f"{_OURS}.tokenizer", "VideoTokenizer", "bfloat16", _CODE_TOKENIZER),
    "cosmos_diffusion_decoder": (f"{_OURS}.diffusion_decoder", "DiffusionDecoder", "bfloat16", _DIFFUSION_DECODER),
    "qwen3guard_0.6b": ("transformers", "Qwen3ForCausalLM", "bfloat16",
                        {"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072,
                         "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
                         "head_dim": 128, "tie_word_embeddings": True}),
    "siglip_so400m": ("transformers", "SiglipVisionModel", "float32",
                      {"model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304,
                       "num_hidden_layers": 27, "num_attention_heads": 16, "image_size": 384, "patch_size": 14}),
}  # fmt: skip
# The faces' detector, a ResNet-50: blocks, width inside and width outside of its stages.
_RESNET50 = ((3, 64, 256), (4, 128, 512), (6, 256, 1024), (3, 512, 2048))
_CLASSIFIER = {
    "network.layers.0.weight": [512, 1152], "network.layers.3.weight": [256, 512], "network.layers.6.weight": [7, 256]
}  # fmt: skip


def measured(module: Any, dtype: str) -> dict[str, Any]:
    """Sizes of a network as it would be stored, each tensor once."""
    import torch

    value_bytes = getattr(torch, dtype).itemsize
    sizes = {name: tensor.numel() * value_bytes for name, tensor in module.named_parameters()}
    named = dict(module.named_parameters(remove_duplicate=False))
    sizes |= {name: one.numel() * one.element_size() for name, one in module.state_dict().items() if name not in named}
    blocks = blocks_of(sizes)
    return {"size_bytes": sum(sizes.values()), **asdict(blocks)}


def build(library: str, class_name: str, config: Mapping[str, Any], *, device: str = "meta") -> Any:
    """A network on the meta device, or with weights of no meaning on another."""
    import importlib

    import torch

    kind = getattr(importlib.import_module(library), class_name)
    plain = {name: value for name, value in config.items() if name != "_class_name"}
    with torch.device(device):
        configured = getattr(kind, "config_class", None)  # of transformers, whose models take one
        return kind(**plain) if configured is None else kind(configured(**plain))


def catalogue() -> dict[str, Any]:
    """Every network by name."""
    found = {}
    for name, (library, class_name, dtype, config) in NETWORKS.items():
        module = build(library, class_name, config)
        found[name] = {"library": library, "class": class_name, "dtype": dtype, **measured(module, dtype),
                       "config": dict(config)}  # fmt: skip
    return found | _small_guards()


def _small_guards() -> dict[str, Any]:
    import torch

    from cosmos_handler.guardrails.retina_face import RetinaFace
    from cosmos_handler.guardrails.safety_classifier import SafetyClassifier

    found = {}
    for name, kind, shapes in (
        ("retinaface_r50", RetinaFace, _face_shapes()),
        ("safety_classifier", SafetyClassifier, _CLASSIFIER),
    ):
        with torch.device("meta"):
            module = kind({tensor: tuple(shape) for tensor, shape in shapes.items()})
        all_of_it = measured(module, "float32")  # which has no blocks that are streamed
        whole = {"num_blocks": 0, "block_bytes": 0, "rest_bytes": all_of_it["size_bytes"]}
        found[name] = {
            "library": "cosmos_handler", "class": kind.__name__, "dtype": "float32", **all_of_it, **whole,
            "config": {"shapes": shapes},
        }  # fmt: skip
    return found


def _face_shapes() -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {"body.conv1.weight": [64, 3, 7, 7]}
    before = 64
    for stage, (blocks, inside, outside) in enumerate(_RESNET50, 1):
        for block in range(blocks):
            name = f"body.layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = [inside, before, 1, 1]
            shapes[f"{name}.conv3.weight"] = [outside, inside, 1, 1]
            if not block:
                shapes[f"{name}.downsample.0.weight"] = [outside, before, 1, 1]
            before = outside
    for level, width in enumerate((512, 1024, 2048)):
        shapes[f"fpn.output{level + 1}.0.weight"] = [256, width, 1, 1]
        shapes[f"ClassHead.{level}.conv1x1.weight"] = [4, 256, 1, 1]
        shapes[f"BboxHead.{level}.conv1x1.weight"] = [8, 256, 1, 1]
    return shapes


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, or compare it; returns 0, or 1 where it differs."""
    parser = argparse.ArgumentParser(prog="catalogue.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where the file is not up to date")
    options = parser.parse_args(arguments)
    text = json.dumps(catalogue(), indent=1) + "\n"
    if not options.check:
        TARGET.write_text(text, encoding="utf-8")
        print(f"{TARGET.relative_to(ROOT)}: {len(json.loads(text))} networks")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TARGET.relative_to(ROOT)} is not what scripts/catalogue.py makes", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
