"""The sheet of the Wan2.1 VAE, which NVIDIA's repositories hold as tokenizer.pth, and its configuration."""

from collections.abc import Iterator
from typing import Any

from cosmos_handler.artifacts.native.sheet import Line

FIRST = "encoder.conv1.weight"  # its first axis is the base width; every VAE of this kind has it

_LATENT_CHANNELS = 16
_WIDENING = (1, 2, 4, 4)
_RESIDUALS = 2
_HALVES_TIME = (False, True, True)


def config(width: int) -> dict[str, Any]:
    """What diffusers' AutoencoderKLWan is built from; means and deviations of the latents are its defaults."""
    return {
        "base_dim": width,
        "z_dim": _LATENT_CHANNELS,
        "dim_mult": list(_WIDENING),
        "num_res_blocks": _RESIDUALS,
        "attn_scales": [],
        "temperal_downsample": list(_HALVES_TIME),
        "dropout": 0.0,
    }


def sheet(width: int) -> list[Line]:
    """Every tensor of the VAE. width: channels of the first convolution, 96 in the published one."""
    z = _LATENT_CHANNELS
    return [
        *_encoder(width),
        *_conv("conv1", "quant_conv", (2 * z, 2 * z, 1, 1, 1)),
        *_conv("conv2", "post_quant_conv", (z, z, 1, 1, 1)),
        *_decoder(width),
    ]


def _encoder(width: int) -> Iterator[Line]:
    widest = _WIDENING[-1] * width
    yield from _conv("encoder.conv1", "encoder.conv_in", (width, 3, 3, 3, 3))
    channels, number = width, 0
    for level, factor in enumerate(_WIDENING):
        for _ in range(_RESIDUALS):
            names = f"encoder.downsamples.{number}", f"encoder.down_blocks.{number}"
            yield from _residual(*names, channels, factor * width)
            channels, number = factor * width, number + 1
        if level < len(_HALVES_TIME):
            theirs, ours = f"encoder.downsamples.{number}.", f"encoder.down_blocks.{number}."
            yield from _conv(theirs + "resample.1", ours + "resample.1", (channels, channels, 3, 3))
            if _HALVES_TIME[level]:
                yield from _conv(theirs + "time_conv", ours + "time_conv", (channels, channels, 3, 1, 1))
            number += 1
    yield from _middle("encoder", widest)
    yield Line("encoder.head.0.gamma", "encoder.norm_out.gamma", (widest, 1, 1, 1))
    yield from _conv("encoder.head.2", "encoder.conv_out", (2 * _LATENT_CHANNELS, widest, 3, 3, 3))


def _decoder(width: int) -> Iterator[Line]:
    widest = _WIDENING[-1] * width
    yield from _conv("decoder.conv1", "decoder.conv_in", (widest, _LATENT_CHANNELS, 3, 3, 3))
    yield from _middle("decoder", widest)
    channels, number = widest, 0
    for level, factor in enumerate(reversed(_WIDENING)):
        for index in range(_RESIDUALS + 1):
            names = f"decoder.upsamples.{number}", f"decoder.up_blocks.{level}.resnets.{index}"
            yield from _residual(*names, channels, factor * width)
            channels, number = factor * width, number + 1
        if level < len(_HALVES_TIME):
            theirs, ours = f"decoder.upsamples.{number}.", f"decoder.up_blocks.{level}.upsamplers.0."
            yield from _conv(theirs + "resample.1", ours + "resample.1", (channels // 2, channels, 3, 3))
            if _HALVES_TIME[::-1][level]:
                yield from _conv(theirs + "time_conv", ours + "time_conv", (2 * channels, channels, 3, 1, 1))
            channels, number = channels // 2, number + 1
    yield Line("decoder.head.0.gamma", "decoder.norm_out.gamma", (width, 1, 1, 1))
    yield from _conv("decoder.head.2", "decoder.conv_out", (3, width, 3, 3, 3))


def _middle(half: str, channels: int) -> Iterator[Line]:
    yield from _residual(f"{half}.middle.0", f"{half}.mid_block.resnets.0", channels, channels)
    theirs, ours = f"{half}.middle.1.", f"{half}.mid_block.attentions.0."
    yield Line(theirs + "norm.gamma", ours + "norm.gamma", (channels, 1, 1))
    yield from _conv(theirs + "to_qkv", ours + "to_qkv", (3 * channels, channels, 1, 1))
    yield from _conv(theirs + "proj", ours + "proj", (channels, channels, 1, 1))
    yield from _residual(f"{half}.middle.2", f"{half}.mid_block.resnets.1", channels, channels)


def _residual(theirs: str, ours: str, before: int, after: int) -> Iterator[Line]:
    yield Line(f"{theirs}.residual.0.gamma", f"{ours}.norm1.gamma", (before, 1, 1, 1))
    yield from _conv(f"{theirs}.residual.2", f"{ours}.conv1", (after, before, 3, 3, 3))
    yield Line(f"{theirs}.residual.3.gamma", f"{ours}.norm2.gamma", (after, 1, 1, 1))
    yield from _conv(f"{theirs}.residual.6", f"{ours}.conv2", (after, after, 3, 3, 3))
    if before != after:
        yield from _conv(f"{theirs}.shortcut", f"{ours}.conv_shortcut", (after, before, 1, 1, 1))


def _conv(theirs: str, ours: str, shape: tuple[int, ...]) -> Iterator[Line]:
    yield Line(f"{theirs}.weight", f"{ours}.weight", shape)
    yield Line(f"{theirs}.bias", f"{ours}.bias", shape[:1])
