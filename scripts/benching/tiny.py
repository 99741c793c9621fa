"""Small networks of the same kinds, on which `scripts/bench.py` runs on a CPU: they try the code, not a card."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, T5Tokenizer

from cosmos_handler.artifacts.checkpoint import Checkpoint, Family, GenerationLimits, Part
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.artifacts.native.autoregressive import PUBLISHED
from cosmos_handler.families.autoregressive.runner import Autoregressive
from cosmos_handler.families.predict.runner import Predict25
from cosmos_handler.memory.plan import Plan
from cosmos_handler.messages.machine import Machine
from cosmos_handler.messages.tasks import Continue, Generate
from scripts.benching import predict1
from scripts.benching.subjects import Subject, going_on, request
from scripts.benching.weights import part_of
from scripts.tiny import predict2_5
from scripts.tiny.weights import padded_rows

_WIDTH = {"num_attention_heads": 2, "attention_head_dim": 16, "mlp_ratio": 4.0, "adaln_lora_dim": 4}
_T5 = {
    "model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 512,
    "feed_forward_proj": "relu", "is_encoder_decoder": False, "use_cache": False,
}  # fmt: skip
_TEXT_TO_WORLD = {
    "_class_name": "CosmosTransformer3DModel", **_WIDTH, "in_channels": 16, "out_channels": 16, "num_layers": 4,
    "text_embed_dim": 32, "max_size": (128, 240, 240), "patch_size": (1, 2, 2), "rope_scale": (2.0, 1.0, 1.0),
    "concat_padding_mask": True, "extra_pos_embed_type": "learnable",
}  # fmt: skip
_COSMOS_VAE = {
    "_class_name": "AutoencoderKLCosmos", "latent_channels": 16, "encoder_block_out_channels": (8, 8, 8, 8),
    "decode_block_out_channels": (8, 8, 8, 8), "attention_resolutions": (8,), "resolution": 64, "num_layers": 2,
    "patch_size": 4, "spatial_compression_ratio": 8, "temporal_compression_ratio": 8,
}  # fmt: skip
_CODES_MODEL = {
    **PUBLISHED["5B-Video2World"], "hidden_size": 32, "num_hidden_layers": 4, "intermediate_size": 96,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "latent_shape": [5, 4, 8], "context_width": 32,
}  # fmt: skip
_CODE_LIMITS = GenerationLimits(max_frames=33, max_height=64, max_width=128, temporal_factor=8, size_multiple=16)
_DIFFUSION_DECODER = {
    "code_width": 8, "in_channels": 24, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 4,
    "adaln_lora_dim": 4, "text_embed_dim": 32,
}  # fmt: skip
_GUARDRAIL_BYTES = 100_000
# A plan of this machine is asked only for its peak.
_ROOM = Machine(
    name="room", device_bytes=2**40, host_bytes=2**40, link_bytes_per_second=1e9, disk_bytes_per_second=1e9,
    memory_bytes_per_second=1e9, linear_flops_per_second=1e9, attention_flops_per_second=1e9,
)  # fmt: skip


def tiny_subject(name: str, folder: Path, *, num_steps: int) -> Subject:
    """A model small enough for a CPU in place of one of the real ones. folder: with the tokenizers it is made for.

    Its "auto" gets a budget in which not everything can be resident.
    """
    kind = name.partition("-")[0]
    parts = _PARTS[kind](folder)
    checkpoint = _checkpoint(name, parts)
    weights = Part("guardrail_text_classifier", "", (), _GUARDRAIL_BYTES, "bfloat16")
    subject = Subject(
        name=name,
        parts=parts,
        checkpoint=checkpoint,
        guardrails=Guardrails(path="", checks=(), parts=(weights,)),
        task=_task(checkpoint, num_steps),
        auto_device_bytes=0,
        published_note="nothing: these are small stand-ins",
    )
    whole: Plan = subject.plan("none", _ROOM)
    return replace(subject, auto_device_bytes=whole.peak_bytes - whole.resident_bytes // 3)


def _checkpoint(name: str, parts: tuple[Part, ...]) -> Checkpoint | None:
    """Of a model that is served: its family's words and sizes; nothing else of it is read."""
    served: Mapping[str, tuple[Family, str, GenerationLimits | None]] = {
        "predict2.5": ("predict2.5", "text2world", None),
        "autoregressive": ("autoregressive", "video2world", _CODE_LIMITS),
    }
    known = served.get(name.partition("-")[0])
    if known is None:
        return None
    family, task, limits = known
    return Checkpoint(
        name=name, aliases=(), path="", family=family, tasks=(task,), revision="random", parts=parts, generation=limits,
        context_tokens=None,
    )  # fmt: skip


def _task(checkpoint: Checkpoint | None, num_steps: int) -> Generate | Continue:
    if checkpoint is not None and checkpoint.family == "autoregressive":
        return going_on(checkpoint, num_steps=num_steps)
    return request(num_frames=9, height=64, width=96, num_steps=num_steps)


def _served_parts(folder: Path) -> tuple[Part, ...]:
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    text = predict2_5.text_encoder(tokenizer, seed=0).config.to_dict()
    network: dict[str, Any] = {
        "_class_name": "CosmosTransformer3DModel", **predict2_5.NETWORK, "in_channels": 17, "out_channels": 16,
        "num_layers": 4, "concat_padding_mask": True,
    }  # fmt: skip
    vae = dict(predict2_5.vae(seed=0).config) | {"_class_name": "AutoencoderKLWan"}
    configs = {"text_encoder": text, "transformer": network, "tokenizer": vae}
    return tuple(part_of(name, Predict25.PART_CLASSES[name], config) for name, config in configs.items())


def _predict1_parts(folder: Path) -> tuple[Part, ...]:
    configs = {"text_encoder": _T5, "transformer": _TEXT_TO_WORLD, "tokenizer": _COSMOS_VAE}
    return tuple(part_of(name, predict1.PARTS[name], config) for name, config in configs.items())


def _code_parts(folder: Path) -> tuple[Part, ...]:
    """The tokenizer in float32, as torch has no average pooling in bfloat16 on a CPU."""
    words = T5Tokenizer.from_pretrained(folder / "text_tokenizer", local_files_only=True)
    configs: dict[str, Mapping[str, Any]] = {
        "text_encoder": {**_T5, "vocab_size": padded_rows(len(words))},
        "ar_model": _CODES_MODEL,
        "tokenizer": {"width": 8},
        "diffusion_decoder": _DIFFUSION_DECODER,
        "decoder_tokenizer": _COSMOS_VAE,
    }
    return tuple(
        part_of(name, Autoregressive.PART_CLASSES[name], config, "float32" if name == "tokenizer" else "bfloat16")
        for name, config in configs.items()
    )


_PARTS: Mapping[str, Callable[[Path], tuple[Part, ...]]] = {
    "predict1": _predict1_parts, "predict2.5": _served_parts, "autoregressive": _code_parts,
}  # fmt: skip
