"""Miniature checkpoints: the true file layouts, safetensors written by hand, a few bytes of zeros for weights."""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

BYTES_PER_VALUE = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1, "BOOL": 1}

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]

SOME_WEIGHTS: Tensors = {"a.weight": ("BF16", (4, 8)), "b.bias": ("F32", (2,))}  # 64 + 8 bytes
PIPELINE = {
    "_class_name": "Cosmos2_5_PredictBasePipeline",
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "CosmosTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLWan"],
}


def header_of(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> dict[str, Any]:
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + prod(shape) * BYTES_PER_VALUE[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    return header


def safetensors_bytes(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> bytes:
    header = json.dumps(header_of(tensors, metadata)).encode()
    data_bytes = sum(prod(shape) * BYTES_PER_VALUE[dtype] for dtype, shape in tensors.values())
    return len(header).to_bytes(8, "little") + header + bytes(data_bytes)


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_weights(path: Path, tensors: Tensors = SOME_WEIGHTS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(safetensors_bytes(tensors, {"format": "pt"}))


def write_shards(folder: Path, stem: str, shards: Mapping[str, Tensors]) -> None:
    """Shards by file name, and the index that lists them."""
    for shard, tensors in shards.items():
        write_weights(folder / shard, tensors)
    weight_map = {tensor: shard for shard, tensors in shards.items() for tensor in tensors}
    write_json(folder / f"{stem}.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})


def write_tokenizer(folder: Path, settings: Mapping[str, Any]) -> None:
    write_json(folder / "tokenizer_config.json", settings)
    write_json(folder / "tokenizer.json", {"version": "1.0"})


def write_generator(folder: Path) -> Path:
    """A complete Predict2.5 checkpoint."""
    write_json(folder / "model_index.json", PIPELINE)
    write_json(folder / "scheduler/scheduler_config.json", {"_class_name": "UniPCMultistepScheduler"})
    write_tokenizer(folder / "tokenizer", {"chat_template": "{{ messages }}"})
    write_json(folder / "text_encoder/config.json", {"model_type": "qwen2_5_vl"})
    write_weights(folder / "text_encoder/model.safetensors")
    transformer = {"_class_name": "CosmosTransformer3DModel", "max_size": [128, 240, 240], "patch_size": [1, 2, 2]}
    write_json(folder / "transformer/config.json", transformer)
    write_weights(folder / "transformer/diffusion_pytorch_model.safetensors")
    vae = {"_class_name": "AutoencoderKLWan", "temperal_downsample": [False, True, True]}
    write_json(folder / "vae/config.json", vae)
    write_weights(folder / "vae/diffusion_pytorch_model.safetensors", {"w": ("F32", (3, 5))})
    return folder


def write_reasoner(folder: Path) -> Path:
    """A complete Reason2 checkpoint."""
    config = {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "text_config": {"max_position_embeddings": 262144},
    }
    write_json(folder / "config.json", config)
    write_tokenizer(folder, {})
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    write_json(folder / "preprocessor_config.json", {})
    write_json(folder / "video_preprocessor_config.json", {})
    write_weights(folder / "model.safetensors")
    return folder


def write_omni(folder: Path, *, reasoner: bool = True) -> Path:
    """A complete Cosmos 3 checkpoint; without its reasoner, as diffusers alone would have saved it."""
    listing = {"_class_name": "Cosmos3OmniPipeline", "transformer": ["diffusers", "Cosmos3OmniTransformer"]}
    write_json(folder / "model_index.json", listing)
    write_json(folder / "scheduler/scheduler_config.json", {"_class_name": "UniPCMultistepScheduler"})
    write_tokenizer(folder / "text_tokenizer", {"chat_template": "{{ messages }}"})
    write_json(folder / "transformer/config.json", {"_class_name": "Cosmos3OmniTransformer", "hidden_act": "silu"})
    write_weights(folder / "transformer/diffusion_pytorch_model.safetensors")
    vae = {"_class_name": "AutoencoderKLWan", "scale_factor_temporal": 4, "scale_factor_spatial": 16}
    write_json(folder / "vae/config.json", vae)
    write_weights(folder / "vae/diffusion_pytorch_model.safetensors")
    if reasoner:
        config = {"model_type": "cosmos3_omni", "text_config": {"max_position_embeddings": 4321}}
        write_json(folder / "config.json", config)
        write_tokenizer(folder, {})
        (folder / "chat_template.jinja").write_text("{{ messages }}")
        write_json(folder / "preprocessor_config.json", {})
        write_json(folder / "video_preprocessor_config.json", {})
        write_json(folder / "vision_encoder/config.json", {"model_type": "qwen3_vl_vision"})
        write_weights(folder / "vision_encoder/model.safetensors")
    return folder
