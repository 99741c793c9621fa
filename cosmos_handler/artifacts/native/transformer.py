"""The sheets of the 2.5 transformer and of Transfer2.5's control branch, and their configurations from the shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native.sheet import Line, Table, Weights, all_divide, lines_of, measured, num_blocks

PREFIXES = ("net_ema.", "net.")  # averaged weights come first: they are what NVIDIA publishes and evaluates
# Buffers that follow from the configuration, and counters of the training.
BESIDE = ("_extra_state", "pos_embedder.", "accum_")

# What shapes do not tell; the same for 2B and 14B.
_PATCH_SIZE = [1, 2, 2]
_MAX_SIZE = [128, 240, 240]
_ROPE_SCALE = [1.0, 3.0, 3.0]
_PATCH_VALUES = 4
_IMAGE_TOKENS = 256

_BASE = (
    ("x_embedder.proj.1.weight", "patch_embed.proj.weight", "width patch_in"),
    ("t_embedder.1.linear_1.weight", "time_embed.t_embedder.linear_1.weight", "width width"),
    ("t_embedder.1.linear_2.weight", "time_embed.t_embedder.linear_2.weight", "3*width width"),
    ("t_embedding_norm.weight", "time_embed.norm.weight", "width"),
    ("crossattn_proj.0.weight", "crossattn_proj.0.weight", "text hidden"),
    ("crossattn_proj.0.bias", "crossattn_proj.0.bias", "text"),
    ("final_layer.adaln_modulation.1.weight", "norm_out.linear_1.weight", "adaln width"),
    ("final_layer.adaln_modulation.2.weight", "norm_out.linear_2.weight", "2*width adaln"),
    ("final_layer.linear.weight", "proj_out.weight", "patch_out width"),
)
_IMAGE_BASE = (
    ("img_context_proj.0.weight", "img_context_proj.0.weight", "width image"),
    ("img_context_proj.0.bias", "img_context_proj.0.bias", "width"),
)
_BLOCK = (
    ("self_attn.q_proj.weight", "attn1.to_q.weight", "width width"),
    ("self_attn.q_norm.weight", "attn1.norm_q.weight", "head"),
    ("self_attn.k_proj.weight", "attn1.to_k.weight", "width width"),
    ("self_attn.k_norm.weight", "attn1.norm_k.weight", "head"),
    ("self_attn.v_proj.weight", "attn1.to_v.weight", "width width"),
    ("self_attn.output_proj.weight", "attn1.to_out.0.weight", "width width"),
    ("cross_attn.q_proj.weight", "attn2.to_q.weight", "width width"),
    ("cross_attn.q_norm.weight", "attn2.norm_q.weight", "head"),
    ("cross_attn.k_proj.weight", "attn2.to_k.weight", "width text"),
    ("cross_attn.k_norm.weight", "attn2.norm_k.weight", "head"),
    ("cross_attn.v_proj.weight", "attn2.to_v.weight", "width text"),
    ("cross_attn.output_proj.weight", "attn2.to_out.0.weight", "width width"),
    ("mlp.layer1.weight", "ff.net.0.proj.weight", "mlp width"),
    ("mlp.layer2.weight", "ff.net.2.weight", "width mlp"),
    ("adaln_modulation_self_attn.1.weight", "norm1.linear_1.weight", "adaln width"),
    ("adaln_modulation_self_attn.2.weight", "norm1.linear_2.weight", "3*width adaln"),
    ("adaln_modulation_cross_attn.1.weight", "norm2.linear_1.weight", "adaln width"),
    ("adaln_modulation_cross_attn.2.weight", "norm2.linear_2.weight", "3*width adaln"),
    ("adaln_modulation_mlp.1.weight", "norm3.linear_1.weight", "adaln width"),
    ("adaln_modulation_mlp.2.weight", "norm3.linear_2.weight", "3*width adaln"),
)
_IMAGE_BLOCK = (
    ("cross_attn.q_img.weight", "attn2.q_img.weight", "width width"),
    ("cross_attn.q_img_norm.weight", "attn2.q_img_norm.weight", "head"),
    ("cross_attn.k_img.weight", "attn2.k_img.weight", "width width"),
    ("cross_attn.k_img_norm.weight", "attn2.k_img_norm.weight", "head"),
    ("cross_attn.v_img.weight", "attn2.v_img.weight", "width width"),
)
_CONTROL = (("control_embedder.proj.1.weight", "patch_embed.proj.weight", "width control_in"),)
_BEFORE = (
    ("before_proj.weight", "before_proj.weight", "width width"),
    ("before_proj.bias", "before_proj.bias", "width"),
)
_AFTER = (
    ("after_proj.weight", "after_proj.weight", "width width"),
    ("after_proj.bias", "after_proj.bias", "width"),
)
# diffusers' control network has its own copies of these, so that it can be moved without the transformer.
_COPIED = {"patch_embed.": "patch_embed_base.", "time_embed.": "time_embed.", "crossattn_proj.": "crossattn_proj."}
_COPIED_IMAGE = {"img_context_proj.": "img_context_proj."}

# Where each size is read: the tensor and the axis.
_MEASURES = {
    "width": ("x_embedder.proj.1.weight", 0),
    "patch_in": ("x_embedder.proj.1.weight", 1),
    "patch_out": ("final_layer.linear.weight", 0),
    "text": ("crossattn_proj.0.weight", 0),
    "hidden": ("crossattn_proj.0.weight", 1),
    "head": ("blocks.0.self_attn.q_norm.weight", 0),
    "mlp": ("blocks.0.mlp.layer1.weight", 0),
    "adaln": ("blocks.0.adaln_modulation_self_attn.1.weight", 0),
}
_IMAGE_MEASURES = {"image": ("img_context_proj.0.weight", 1)}
_CONTROL_MEASURES = {"control_in": ("control_embedder.proj.1.weight", 1)}


@dataclass(frozen=True)
class Architecture:
    """The sizes of a transformer, and of its control branch where it has one."""

    sizes: Mapping[str, int]
    num_blocks: int
    num_control_blocks: int

    @property
    def takes_images(self) -> bool:
        """Whether cross-attention looks at an image as well as at the text."""
        return "image" in self.sizes

    def base(self) -> list[Line]:
        """The sheet of the transformer."""
        lines = lines_of(_BASE + (_IMAGE_BASE if self.takes_images else ()), self.sizes)
        for number in range(self.num_blocks):
            begins = {"theirs": f"blocks.{number}.", "ours": f"transformer_blocks.{number}."}
            lines += lines_of(self._block(), self.sizes, **begins)
        return lines

    def control(self) -> list[Line]:
        """The sheet of the control branch alone."""
        lines = lines_of(_CONTROL, self.sizes)
        for number in range(self.num_control_blocks):
            table, begin = (*self._block(), *(_BEFORE if number == 0 else ()), *_AFTER), f"control_blocks.{number}."
            lines += lines_of(table, self.sizes, theirs=begin, ours=begin)
        return lines

    def control_network(self) -> list[Line]:
        """The control branch with its copies of the base, as diffusers loads it."""
        copied = _COPIED | (_COPIED_IMAGE if self.takes_images else {})
        lines = self.control()
        for line in self.base():
            for start, new in copied.items():
                if line.ours.startswith(start):
                    lines.append(Line(line.theirs, new + line.ours.removeprefix(start), line.shape))
        return lines

    def base_config(self) -> dict[str, Any]:
        """What diffusers' CosmosTransformer3DModel is built from."""
        sizes = self.sizes
        config = self._config() | {
            "in_channels": sizes["patch_in"] // _PATCH_VALUES - 1,  # less the padding mask
            "out_channels": sizes["patch_out"] // _PATCH_VALUES,
            "num_layers": self.num_blocks,
            "concat_padding_mask": True,
        }
        if self.takes_images:
            config["img_context_num_tokens"] = _IMAGE_TOKENS
        if self.num_control_blocks:
            config["controlnet_block_every_n"] = -(-self.num_blocks // self.num_control_blocks)
        return config

    def control_config(self) -> dict[str, Any]:
        """What diffusers' CosmosControlNetModel is built from."""
        return self._config() | {
            "n_controlnet_blocks": self.num_control_blocks,
            "in_channels": self.sizes["control_in"] // _PATCH_VALUES,
            "latent_channels": self.sizes["patch_in"] // _PATCH_VALUES,
            "model_channels": self.sizes["width"],
        }

    def _config(self) -> dict[str, Any]:
        sizes = self.sizes
        config: dict[str, Any] = {
            "num_attention_heads": sizes["width"] // sizes["head"],
            "attention_head_dim": sizes["head"],
            "mlp_ratio": sizes["mlp"] / sizes["width"],
            "text_embed_dim": sizes["text"],
            "adaln_lora_dim": sizes["adaln"],
            "max_size": _MAX_SIZE,
            "patch_size": _PATCH_SIZE,
            "rope_scale": _ROPE_SCALE,
            "extra_pos_embed_type": None,
            "use_crossattn_projection": True,
            "crossattn_proj_in_channels": sizes["hidden"],
            "encoder_hidden_states_channels": sizes["text"],
        }
        if self.takes_images:
            config |= {"img_context_dim_in": sizes["image"], "img_context_dim_out": sizes["width"]}
        return config

    def _block(self) -> Table:
        return _BLOCK + (_IMAGE_BLOCK if self.takes_images else ())


def architecture(look: Inspection, weights: Weights, *, with_control: bool) -> Architecture | None:
    """The sizes of the network in a file; None, and faults noted, where they cannot be read."""
    measures = _MEASURES | (_CONTROL_MEASURES if with_control else {})
    if "img_context_proj.0.weight" in weights.tensors:
        measures |= _IMAGE_MEASURES
    sizes = measured(look, weights, measures)
    if sizes is None:
        return None
    divisors = {"width": sizes["head"], "patch_in": _PATCH_VALUES, "patch_out": _PATCH_VALUES}
    if not all_divide(look, weights, sizes, divisors):
        return None
    return Architecture(
        sizes=sizes,
        num_blocks=num_blocks(weights, "blocks."),
        num_control_blocks=num_blocks(weights, "control_blocks."),
    )
