"""diffusers' CosmosTransformer3DModel and CosmosControlNetModel, one sample at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.memory.shapes.values import FLOAT_BYTES, value_bytes
from cosmos_handler.memory.sheet import Work

_LEAN_NUMBERS = 2**25  # of the heads that are rotated together, as `families/lean` has it


@dataclass(frozen=True)
class Dit:
    """The transformer, or a control branch of it. num_blocks: of transformer_blocks, or of control_blocks."""

    heads: int
    head_width: int
    num_blocks: int
    mlp_ratio: float
    text_width: int
    adaln_width: int
    in_channels: int
    out_channels: int
    patch: tuple[int, int, int]
    pads: bool
    learns_positions: bool
    text_in: int | None
    image_in: int | None
    image_out: int
    image_tokens: int
    is_control: bool
    value_bytes: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dtype: str) -> "Dit":
        """By config.json; what it leaves out is as the library's class has it."""
        is_control = "n_controlnet_blocks" in config or config.get("_class_name") == "CosmosControlNetModel"
        patch = tuple(config.get("patch_size", (1, 2, 2)))
        return cls(
            heads=config.get("num_attention_heads", 32),
            head_width=config.get("attention_head_dim", 128),
            num_blocks=config.get("n_controlnet_blocks", 4) if is_control else config.get("num_layers", 28),
            mlp_ratio=config.get("mlp_ratio", 4.0),
            text_width=config.get("text_embed_dim", 1024),
            adaln_width=config.get("adaln_lora_dim", 256),
            in_channels=config.get("in_channels", 130 if is_control else 16),
            out_channels=config.get("out_channels", 16),
            patch=(patch[0], patch[1], patch[2]),
            pads=bool(config.get("concat_padding_mask", True)),
            learns_positions=config.get("extra_pos_embed_type", None if is_control else "learnable") is not None,
            text_in=config.get("crossattn_proj_in_channels", 1024) if config.get("use_crossattn_projection") else None,
            image_in=config.get("img_context_dim_in") or None,
            image_out=config.get("img_context_dim_out", 2048),
            image_tokens=config.get("img_context_num_tokens", 256),
            is_control=is_control,
            value_bytes=value_bytes(dtype),
        )

    @property
    def width(self) -> int:
        """Numbers of a token."""
        return self.heads * self.head_width

    def tokens(self, latent_frames: int, rows: int, columns: int) -> int:
        """Patches of so many latents."""
        return (latent_frames // self.patch[0]) * (rows // self.patch[1]) * (columns // self.patch[2])

    def forward_bytes(self, tokens: int, text_tokens: int, *, timed_frames: int = 0, is_lean: bool = False) -> int:
        """The most that a forward has alive beside its inputs, its output included.

        timed_frames: latent frames with a time of their own, which is repeated for every token; 0: there is one time.
        is_lean: as `families/lean` changes the library's forward, not as the library has it.
        """
        times = tokens if timed_frames else 1
        # Of a single frame the repeated time stays a view, until it is computed with.
        around = self._around_blocks(tokens, times if timed_frames > 1 else 1, text_tokens, is_lean=is_lean)
        own = around + self._in_block(tokens, times, text_tokens, is_lean=is_lean)
        return max(own, self._positions(tokens)) + self._latents(tokens)

    def residual_bytes(self, tokens: int) -> int:
        """What a control branch hands to the transformer."""
        return self.num_blocks * tokens * self.width * self.value_bytes if self.is_control else 0

    def context_bytes(self, text_tokens: int) -> int:
        """One prompt's embedding, as the text encoder leaves it, and the picture beside it."""
        image = self.image_tokens * self.image_in if self.image_in else 0
        return (text_tokens * (self.text_in or self.text_width) + image) * self.value_bytes

    def forward_work(self, tokens: int, text_tokens: int, *, timed_frames: int = 0) -> Work:
        """Operations of one forward; a multiplication and an addition are two."""
        width, head = self.width, self.head_width
        linear = (4 + 2 * self.mlp_ratio) * width * width + 2 * width * width  # attn1, ff; attn2's queries and output
        context = text_tokens * 2 * self.text_width * width
        seen = text_tokens
        if self.image_in:
            linear += width * width
            context += self.image_tokens * 2 * width * width
            seen += self.image_tokens
        if self.is_control:
            linear += width * width
        patches = tokens * width * math.prod(self.patch) * (self.in_channels + self.pads + self.out_channels)
        once = patches + text_tokens * (self.text_in or 0) * self.text_width
        modulation = 3 * (tokens if timed_frames else 1) * 4 * self.adaln_width * width
        attention = 4.0 * self.heads * head * tokens * (tokens + seen)
        return Work(
            2.0 * (self.num_blocks * (tokens * linear + modulation + context) + once), self.num_blocks * attention
        )

    def _around_blocks(self, tokens: int, times: int, text_tokens: int, *, is_lean: bool) -> int:
        """What lies there while the blocks run: the tokens before the block, times, rotations, contexts."""
        unit, time = self._unit(tokens), self._unit(times)
        rotations = 2 * tokens * self.head_width * FLOAT_BYTES
        context = 0
        if self.text_in is not None:  # and for a moment before it is activated
            context += 2 * text_tokens * self.text_width * self.value_bytes
        if self.image_in is not None:
            context += self.image_tokens * self.image_out * self.value_bytes
        around = unit + (1 if is_lean else 4) * time + rotations + context + (unit if self.learns_positions else 0)
        if self.is_control:  # the latents' own tokens, what the blocks gave so far, and the last one before scaling
            around += unit * (self.num_blocks + 1)
        return around

    def _in_block(self, tokens: int, times: int, text_tokens: int, *, is_lean: bool) -> int:
        """The most that one block adds."""
        unit, time = self._unit(tokens), self._unit(times)
        text, narrow = self._unit(text_tokens), times * self.adaln_width * self.value_bytes
        single = tokens * self.width * FLOAT_BYTES
        rows = tokens * 2 * FLOAT_BYTES
        norm = max(time + narrow, narrow + 3 * time, 6 * time, 4 * time + 2 * unit, 3 * time + 3 * unit) + rows
        gate, copies = 3 * time, 2  # the gate is a view of three times as much, and activating makes a copy
        if is_lean:
            norm = max(time + narrow, narrow + 3 * time, 4 * time + unit) + rows
            gate, copies = time, 1
        first = unit if self.learns_positions else 0  # the block's own sum of tokens and positions
        # Of queries or keys, which lean does some heads at a time, into a copy of theirs.
        rotated = min(tokens * self.width, max(_LEAN_NUMBERS, tokens * self.head_width)) if is_lean else 0
        turning = unit + rotated * (self.value_bytes + 3 * FLOAT_BYTES) if is_lean else unit + 3 * single
        rotating = first + unit + gate + 3 * unit + turning + rows
        squaring = first + unit + gate + 3 * unit + 2 * single
        # From here on the block's tokens are its own, and what was last attended to still has a name.
        norming = unit + 2 * unit + gate + norm
        held = unit + unit + unit + gate
        # Of the queries, and of the text's keys, which are more where what is made is very small.
        text_single = text_tokens * self.width * FLOAT_BYTES
        looking = held + 2 * text + unit + max(2 * single, 2 * text_single, text_single + text)
        if self.image_in is not None:
            image = self._unit(self.image_tokens)
            looking = max(looking, held + 2 * text + 2 * image + 3 * unit + max(2 * single, 3 * unit))
        widening = held + math.ceil(max(copies * self.mlp_ratio, self.mlp_ratio + 1) * unit)
        return max(first + norm, rotating, squaring, norming, looking, widening)

    def _positions(self, tokens: int) -> int:
        """While the learned positions are made, in float32, before there are any tokens."""
        return 5 * tokens * self.width * FLOAT_BYTES if self.learns_positions else 0

    def _latents(self, tokens: int) -> int:
        """Latents with masks beside them and in patches, and the output."""
        channels = 2 * (self.in_channels + 2) + 2 * self.out_channels
        return tokens * math.prod(self.patch) * channels * self.value_bytes

    def _unit(self, tokens: int) -> int:
        return tokens * self.width * self.value_bytes
