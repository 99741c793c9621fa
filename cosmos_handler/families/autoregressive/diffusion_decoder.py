"""The network of the diffusion decoder: diffusers' transformer of Cosmos 1.0, which sees the tokens of a video."""

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.transformers.transformer_cosmos import CosmosTransformer3DModel

FRAMES_PER_SECOND = 24  # at which it was trained, so that a latent frame is a step of its positions


class DiffusionDecoder(CosmosTransformer3DModel):  # type: ignore[misc]  # the library is not typed
    """Latents of CV8x8x8 out of noise, as the tokens of DV8x16x16 say.

    Each token's embedding is laid over the latents that it stands for, as channels beside theirs. Without arguments,
    the published one. num_codes: how many tokens there are. code_width: channels of their embeddings. in_channels: of
    latents and embeddings together. All others are the library's.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        num_codes: int = 64_000,
        code_width: int = 32,
        in_channels: int = 48,
        out_channels: int = 16,
        num_attention_heads: int = 32,
        attention_head_dim: int = 128,
        num_layers: int = 28,
        mlp_ratio: float = 4.0,
        text_embed_dim: int = 1024,
        adaln_lora_dim: int = 256,
        max_size: Sequence[int] = (128, 240, 240),
        patch_size: Sequence[int] = (1, 2, 2),
        rope_scale: Sequence[float] = (1.0, 1.5, 1.5),
        concat_padding_mask: bool = True,
        extra_pos_embed_type: str | None = None,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels,
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            num_layers=num_layers,
            mlp_ratio=mlp_ratio,
            text_embed_dim=text_embed_dim,
            adaln_lora_dim=adaln_lora_dim,
            max_size=max_size,
            patch_size=patch_size,
            rope_scale=rope_scale,
            concat_padding_mask=concat_padding_mask,
            extra_pos_embed_type=extra_pos_embed_type,
        )
        self.code_embed = torch.nn.Embedding(num_codes, code_width)

    def forward(
        self, latents: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """What the network says of noisy latents: [1, C, T, H, W].

        latents: [1, C, T, H, W]. timestep: [1]. text: a prompt's embeddings [1, M, E]. tokens: int64 [1, T, h, w], each
        of which stands for as many latents as fit.
        """
        embeddings = self.code_embed(tokens)[0].movedim(-1, 1)  # [T, D, h, w]
        # In float32, and back, as the library of pictures does that NVIDIA's code resizes with.
        resized = torch.nn.functional.interpolate(
            embeddings.float(), size=latents.shape[-2:], mode="bilinear", align_corners=False, antialias=True
        )
        conditions = resized.to(latents.dtype).transpose(0, 1).unsqueeze(0)
        (made,) = super().forward(
            torch.cat([latents, conditions], dim=1),
            timestep,
            text,
            fps=FRAMES_PER_SECOND,
            padding_mask=latents.new_zeros(1, 1, *latents.shape[-2:]),
            return_dict=False,
        )
        prediction: torch.Tensor = made
        return prediction
