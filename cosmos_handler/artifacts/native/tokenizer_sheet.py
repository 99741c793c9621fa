"""The tensors of NVIDIA's causal video tokenizers: convolutions in space and in time, each followed by the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cosmos_handler.artifacts.native.sheet import Line

PATCH = 4  # frames, rows and columns that wavelets fold into channels
_PATCH_CHANNELS = 3 * PATCH**3
_WIDENING = (2, 4, 4)  # of the width, at each resolution
_RESIDUALS = 2


@dataclass(frozen=True)
class Resampling:
    """What one step from a resolution to the next halves, or doubles; a step that does neither has no tensors."""

    in_space: bool
    in_time: bool


def encoder_lines(width: int, latent_channels: int, steps: Sequence[Resampling]) -> Iterator[Line]:
    """Of the encoder. width: channels of its first convolution. steps: two, from the largest resolution down."""
    yield from _factored("encoder.conv_in", "encoder.conv_in", _PATCH_CHANNELS, width)
    channels = width
    for level, factor in enumerate(_WIDENING):
        theirs, ours = f"encoder.down.{level}", f"encoder.down_blocks.{level}"
        for number in range(_RESIDUALS):
            yield from _residual(f"{theirs}.block.{number}", f"{ours}.resnets.{number}", channels, factor * width)
            channels = factor * width
        if level < len(_WIDENING) - 1:
            names = f"{theirs}.downsample", f"{ours}.downsamplers.0"
            yield from _resampling(*names, channels, steps[level], time_first=False)
    yield from _middle("encoder", channels)
    yield from _norm("encoder.norm_out", "encoder.norm_out", channels)
    yield from _factored("encoder.conv_out", "encoder.conv_out", channels, latent_channels)


def decoder_lines(width: int, latent_channels: int, steps: Sequence[Resampling]) -> Iterator[Line]:
    """Of the decoder. width: of the encoder. steps: two, from the smallest resolution up."""
    channels = _WIDENING[-1] * width
    yield from _factored("decoder.conv_in", "decoder.conv_in", latent_channels, channels)
    yield from _middle("decoder", channels)
    for number, factor in enumerate(reversed(_WIDENING)):
        level = len(_WIDENING) - 1 - number  # theirs are counted from the largest resolution
        theirs, ours = f"decoder.up.{level}", f"decoder.up_blocks.{number}"
        for index in range(_RESIDUALS + 1):
            yield from _residual(f"{theirs}.block.{index}", f"{ours}.resnets.{index}", channels, factor * width)
            channels = factor * width
        if level > 0:
            names = f"{theirs}.upsample", f"{ours}.upsamplers.0"
            yield from _resampling(*names, channels, steps[number], time_first=True)
    yield from _norm("decoder.norm_out", "decoder.norm_out", channels)
    yield from _factored("decoder.conv_out", "decoder.conv_out", channels, _PATCH_CHANNELS)


def conv_lines(theirs: str, ours: str, shape: tuple[int, ...]) -> Iterator[Line]:
    """Of one convolution."""
    yield Line(f"{theirs}.conv3d.weight", f"{ours}.weight", shape)
    yield Line(f"{theirs}.conv3d.bias", f"{ours}.bias", shape[:1])


def _middle(half: str, channels: int) -> Iterator[Line]:
    theirs, ours = f"{half}.mid", f"{half}.mid_block"
    yield from _residual(f"{theirs}.block_1", f"{ours}.resnets.0", channels, channels)
    for number, kind in enumerate(("attentions", "temp_attentions")):
        one, two = f"{theirs}.attn_1.{number}", f"{ours}.{kind}.0"
        yield from _norm(f"{one}.norm", f"{two}.norm", channels)
        for their_name, our_name in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")):
            yield from conv_lines(f"{one}.{their_name}", f"{two}.{our_name}", (channels, channels, 1, 1, 1))
    yield from _residual(f"{theirs}.block_2", f"{ours}.resnets.1", channels, channels)


def _residual(theirs: str, ours: str, before: int, after: int) -> Iterator[Line]:
    for number, channels in ((1, before), (2, after)):
        yield from _norm(f"{theirs}.norm{number}", f"{ours}.norm{number}", channels)
        yield from _factored(f"{theirs}.conv{number}", f"{ours}.conv{number}", channels, after)
    if before != after:
        yield from conv_lines(f"{theirs}.nin_shortcut", f"{ours}.conv_shortcut", (after, before, 1, 1, 1))


def _resampling(theirs: str, ours: str, channels: int, step: Resampling, *, time_first: bool) -> Iterator[Line]:
    time, space = (1, 2) if time_first else (2, 1)
    if step.in_time:
        yield from conv_lines(f"{theirs}.conv{time}", f"{ours}.conv{time}", (channels, channels, 3, 1, 1))
    if step.in_space:
        yield from conv_lines(f"{theirs}.conv{space}", f"{ours}.conv{space}", (channels, channels, 1, 3, 3))
    if step.in_time or step.in_space:
        yield from conv_lines(f"{theirs}.conv3", f"{ours}.conv3", (channels, channels, 1, 1, 1))


def _factored(theirs: str, ours: str, before: int, after: int) -> Iterator[Line]:
    """A convolution in space, and one in time after it."""
    yield from conv_lines(f"{theirs}.0", f"{ours}.conv_s", (after, before, 1, 3, 3))
    yield from conv_lines(f"{theirs}.1", f"{ours}.conv_t", (after, after, 3, 1, 1))


def _norm(theirs: str, ours: str, channels: int) -> Iterator[Line]:
    for name in ("weight", "bias"):
        yield Line(f"{theirs}.norm.{name}", f"{ours}.norm.{name}", (channels,))
