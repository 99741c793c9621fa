"""The discrete video tokenizer DV8x16x16: diffusers' networks of the continuous one, and codes instead of latents."""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.autoencoder_kl_cosmos import (
    CosmosCausalConv3d,
    CosmosDecoder3d,
    CosmosEncoder3d,
    CosmosUpsample3d,
)
from diffusers.models.modeling_utils import ModelMixin

from cosmos_handler.families.autoregressive.fsq import FiniteScalarQuantizer

SPATIAL_FACTOR, TEMPORAL_FACTOR = 16, 8

_LEVELS = (8, 8, 8, 5, 5, 5)
_WIDENING = (2, 4, 4)  # of the width, at each resolution


class VideoTokenizer(ModelMixin, ConfigMixin):  # type: ignore[misc]  # the library is not typed
    """Frames to tokens and back; causal, so that the first frames have the same tokens whatever follows.

    width: channels of the first convolution. latent_channels: between the networks and the quantizer. mirrored: whether
    the decoder lengthens time at the resolution at which the encoder shortens it; older ones do at the smallest.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, width: int = 128, latent_channels: int = 16, mirrored: bool = True) -> None:
        super().__init__()
        channels = tuple(factor * width for factor in _WIDENING)
        ratios = {"spatial_compression_ratio": SPATIAL_FACTOR, "temporal_compression_ratio": TEMPORAL_FACTOR}
        self.encoder = CosmosEncoder3d(out_channels=latent_channels, block_out_channels=(width, *channels), **ratios)
        self.quant_conv = CosmosCausalConv3d(latent_channels, len(_LEVELS), kernel_size=1, padding=0)
        self.quantizer = FiniteScalarQuantizer(_LEVELS)
        self.post_quant_conv = CosmosCausalConv3d(len(_LEVELS), latent_channels, kernel_size=1, padding=0)
        self.decoder = CosmosDecoder3d(
            in_channels=latent_channels, block_out_channels=(*channels, channels[-1]), **ratios
        )
        if not mirrored:
            for block, in_time in zip(self.decoder.up_blocks, (True, False), strict=False):
                block.upsamplers[0] = CosmosUpsample3d(channels[-1], temporal_upsample=in_time)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """The tokens [B, T, H/16, W/16], int64 and below 64,000, of pixels [B, 3, 8 (T - 1) + 1, H, W] from -1 to 1."""
        frames, height, width = pixels.shape[2:]
        if frames % TEMPORAL_FACTOR != 1 or height % SPATIAL_FACTOR or width % SPATIAL_FACTOR:
            raise ValueError(f"{frames} frames of {width}x{height} are no whole number of tokens")
        tokens: torch.Tensor = self.quantizer(self.latents(pixels))
        return tokens

    def latents(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the quantizer is given, [B, 6, T, H/16, W/16]."""
        latents: torch.Tensor = self.quant_conv(self.encoder(pixels.to(self.dtype)))
        return latents

    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """The pixels [B, 3, 8 (T - 1) + 1, 16 H, 16 W], about -1 to 1 and not clamped, of tokens [B, T, H, W]."""
        codes = self.quantizer.codes(tokens).to(self.dtype)
        pixels: torch.Tensor = self.decoder(self.post_quant_conv(codes))
        return pixels
