"""The sheet of the discrete video tokenizer DV8x16x16, published as the programs encoder.jit and decoder.jit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cosmos_handler.artifacts.blocks import blocks_of
from cosmos_handler.artifacts.checkpoint import Native, Part
from cosmos_handler.artifacts.inspection import Inspection, joined
from cosmos_handler.artifacts.native.script_file import ScriptFile, read_script_file
from cosmos_handler.artifacts.native.sheet import Line, Weights, check_names
from cosmos_handler.artifacts.weights import served_dtype
from cosmos_handler.errors import CheckpointError

ENCODER_FILE, DECODER_FILE = "encoder.jit", "decoder.jit"

_LEVELS = (8, 8, 8, 5, 5, 5)
_PATCH = 4
_PATCH_CHANNELS = 3 * _PATCH**3
_WIDENING = (2, 4, 4)  # of the width, at each resolution
_RESIDUALS = 2
_HAAR = 0.7071

# Constants that tracing has put beside the weights. What some of them must be, for the network that we run.
_CONSTANTS = ("quantizer.", "inv_quant.", "encoder.patcher3d.", "decoder.unpatcher3d.")
_EXPECTED: Mapping[str, Sequence[float]] = {
    "quantizer._levels": _LEVELS,
    "inv_quant.quantizer._levels": _LEVELS,
    "encoder.patcher3d.patch_size_buffer": (_PATCH,),
    "encoder.patcher3d.wavelets": (_HAAR, _HAAR),
    "decoder.unpatcher3d.wavelets": (_HAAR, _HAAR),
}
_TOLERANCE = 5e-3  # they may be stored as bfloat16


@dataclass(frozen=True)
class Architecture:
    """What the shapes leave open. width: channels of the first convolution, 128 in the published one."""

    width: int
    latent_channels: int
    mirrored: bool

    def config(self) -> dict[str, Any]:
        """What our VideoTokenizer is built from."""
        return asdict(self)

    def encoder(self) -> list[Line]:
        """Every tensor of encoder.jit."""
        return [
            *_encoder(self.width, self.latent_channels),
            *_conv("quant_conv", "quant_conv", (len(_LEVELS), self.latent_channels, 1, 1, 1)),
        ]

    def decoder(self) -> list[Line]:
        """Every tensor of decoder.jit."""
        return [
            *_conv("post_quant_conv", "post_quant_conv", (self.latent_channels, len(_LEVELS), 1, 1, 1)),
            *_decoder(self.width, self.latent_channels, mirrored=self.mirrored),
        ]


def examine_video_tokenizer(look: Inspection, folder: str, *, name: str) -> Part | None:
    """The part that encoder.jit and decoder.jit of a folder make; None, and every fault noted, where they do not.

    name: what the part is called.
    """
    faults_before = len(look.faults)
    files = joined(folder, ENCODER_FILE), joined(folder, DECODER_FILE)
    encoder, decoder = (_weights_in(look, file) for file in files)
    if encoder is None or decoder is None:
        return None
    found = _architecture(look, encoder, decoder)
    if found is None:
        return None
    check_names(look, encoder, found.encoder(), what="the encoder of DV8x16x16")
    check_names(look, decoder, found.decoder(), what="the decoder of DV8x16x16")
    if len(look.faults) > faults_before:
        return None
    tensors = {**encoder.tensors, **decoder.tensors}
    lines = [*found.encoder(), *found.decoder()]
    dtype = served_dtype(look, tensors.values(), where=f"in {' and '.join(files)}")
    if dtype is None:
        return None
    return Part(
        name=name,
        folder=folder,
        files=files,
        size_bytes=sum(tensor.size_bytes for tensor in tensors.values()),
        dtype=dtype,
        native=Native(wrappers=(), names={line.theirs: line.ours for line in lines}, config=found.config()),
        **asdict(blocks_of({line.ours: tensors[line.theirs].size_bytes for line in lines})),
        config=found.config(),
    )


def _weights_in(look: Inspection, file: str) -> Weights | None:
    """The weights of a program; its constants are held against what the network has."""
    if not look.require(file):
        return None
    try:
        content = read_script_file(look.folder / file, shown_as=file)
    except CheckpointError as error:
        look.fault(str(error))
        return None
    look.headers[file] = content.raw
    for key, expected in _EXPECTED.items():
        _check_constant(look, file, content, key, expected)
    tensors = {key: tensor for key, tensor in content.tensors.items() if not key.startswith(_CONSTANTS)}
    return Weights(file=file, prefix="", tensors=tensors, checksums=content.checksums, wrappers=())


def _check_constant(look: Inspection, file: str, content: ScriptFile, key: str, expected: Sequence[float]) -> None:
    values = content.small.get(key)
    if key in content.tensors and (
        values is None
        or len(values) != len(expected)
        or any(abs(value - wanted) > _TOLERANCE for value, wanted in zip(values, expected, strict=True))
    ):
        look.fault(f"{file} is not of DV8x16x16: its {key} is {values}, not {tuple(expected)}")


def _architecture(look: Inspection, encoder: Weights, decoder: Weights) -> Architecture | None:
    first = encoder.tensors.get("encoder.conv_in.0.conv3d.weight")
    last = encoder.tensors.get("quant_conv.conv3d.weight")
    if first is None or last is None or len(first.shape) != 5 or len(last.shape) != 5 or 0 in first.shape + last.shape:
        look.fault(f"{encoder.file} is not the encoder of DV8x16x16: it lacks its first and last convolutions")
        return None
    mirrored = "decoder.up.2.upsample.conv1.conv3d.weight" not in decoder.tensors
    return Architecture(width=first.shape[0], latent_channels=last.shape[1], mirrored=mirrored)


def _encoder(width: int, latent_channels: int) -> Iterator[Line]:
    yield from _factored("encoder.conv_in", "encoder.conv_in", _PATCH_CHANNELS, width)
    channels = width
    for level, factor in enumerate(_WIDENING):
        theirs, ours = f"encoder.down.{level}", f"encoder.down_blocks.{level}"
        for number in range(_RESIDUALS):
            yield from _residual(f"{theirs}.block.{number}", f"{ours}.resnets.{number}", channels, factor * width)
            channels = factor * width
        if level < len(_WIDENING) - 1:  # space is halved at both, time at the first
            yield from _resampling(f"{theirs}.downsample", f"{ours}.downsamplers.0", channels, time_first=False,
                                   in_time=level == 0)  # fmt: skip
    yield from _middle("encoder", channels)
    yield from _norm("encoder.norm_out", "encoder.norm_out", channels)
    yield from _factored("encoder.conv_out", "encoder.conv_out", channels, latent_channels)


def _decoder(width: int, latent_channels: int, *, mirrored: bool) -> Iterator[Line]:
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
            yield from _resampling(f"{theirs}.upsample", f"{ours}.upsamplers.0", channels, time_first=True,
                                   in_time=(number == 1) == mirrored)  # fmt: skip
    yield from _norm("decoder.norm_out", "decoder.norm_out", channels)
    yield from _factored("decoder.conv_out", "decoder.conv_out", channels, _PATCH_CHANNELS)


def _middle(half: str, channels: int) -> Iterator[Line]:
    theirs, ours = f"{half}.mid", f"{half}.mid_block"
    yield from _residual(f"{theirs}.block_1", f"{ours}.resnets.0", channels, channels)
    for number, kind in enumerate(("attentions", "temp_attentions")):
        one, two = f"{theirs}.attn_1.{number}", f"{ours}.{kind}.0"
        yield from _norm(f"{one}.norm", f"{two}.norm", channels)
        for their_name, our_name in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")):
            yield from _conv(f"{one}.{their_name}", f"{two}.{our_name}", (channels, channels, 1, 1, 1))
    yield from _residual(f"{theirs}.block_2", f"{ours}.resnets.1", channels, channels)


def _residual(theirs: str, ours: str, before: int, after: int) -> Iterator[Line]:
    for number, channels in ((1, before), (2, after)):
        yield from _norm(f"{theirs}.norm{number}", f"{ours}.norm{number}", channels)
        yield from _factored(f"{theirs}.conv{number}", f"{ours}.conv{number}", channels, after)
    if before != after:
        yield from _conv(f"{theirs}.nin_shortcut", f"{ours}.conv_shortcut", (after, before, 1, 1, 1))


def _resampling(theirs: str, ours: str, channels: int, *, time_first: bool, in_time: bool) -> Iterator[Line]:
    time, space = (1, 2) if time_first else (2, 1)
    if in_time:
        yield from _conv(f"{theirs}.conv{time}", f"{ours}.conv{time}", (channels, channels, 3, 1, 1))
    yield from _conv(f"{theirs}.conv{space}", f"{ours}.conv{space}", (channels, channels, 1, 3, 3))
    yield from _conv(f"{theirs}.conv3", f"{ours}.conv3", (channels, channels, 1, 1, 1))


def _factored(theirs: str, ours: str, before: int, after: int) -> Iterator[Line]:
    """A convolution in space, and one in time after it."""
    yield from _conv(f"{theirs}.0", f"{ours}.conv_s", (after, before, 1, 3, 3))
    yield from _conv(f"{theirs}.1", f"{ours}.conv_t", (after, after, 3, 1, 1))


def _norm(theirs: str, ours: str, channels: int) -> Iterator[Line]:
    for name in ("weight", "bias"):
        yield Line(f"{theirs}.norm.{name}", f"{ours}.norm.{name}", (channels,))


def _conv(theirs: str, ours: str, shape: tuple[int, ...]) -> Iterator[Line]:
    yield Line(f"{theirs}.conv3d.weight", f"{ours}.weight", shape)
    yield Line(f"{theirs}.conv3d.bias", f"{ours}.bias", shape[:1])
