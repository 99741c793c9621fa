"""The sheet of the discrete video tokenizer DV8x16x16, published as the programs encoder.jit and decoder.jit."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native.sheet import Line
from cosmos_handler.artifacts.native.tokenizer_programs import programs_in
from cosmos_handler.artifacts.native.tokenizer_sheet import (
    PATCH,
    Resampling,
    conv_lines,
    decoder_lines,
    encoder_lines,
)

_TITLE = "DV8x16x16"
_LEVELS = (8, 8, 8, 5, 5, 5)
_HAAR = 0.7071
_BOTH, _SPACE = Resampling(in_space=True, in_time=True), Resampling(in_space=True, in_time=False)

# Constants that tracing has put beside the weights. What some of them must be, for the network that we run.
_CONSTANTS = ("quantizer.", "inv_quant.", "encoder.patcher3d.", "decoder.unpatcher3d.")
_EXPECTED: Mapping[str, Sequence[float]] = {
    "quantizer._levels": _LEVELS,
    "inv_quant.quantizer._levels": _LEVELS,
    "encoder.patcher3d.patch_size_buffer": (PATCH,),
    "encoder.patcher3d.wavelets": (_HAAR, _HAAR),
    "decoder.unpatcher3d.wavelets": (_HAAR, _HAAR),
}


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
            *encoder_lines(self.width, self.latent_channels, (_BOTH, _SPACE)),
            *conv_lines("quant_conv", "quant_conv", (len(_LEVELS), self.latent_channels, 1, 1, 1)),
        ]

    def decoder(self) -> list[Line]:
        """Every tensor of decoder.jit."""
        steps = (_SPACE, _BOTH) if self.mirrored else (_BOTH, _SPACE)
        return [
            *conv_lines("post_quant_conv", "post_quant_conv", (self.latent_channels, len(_LEVELS), 1, 1, 1)),
            *decoder_lines(self.width, self.latent_channels, steps),
        ]


def examine_video_tokenizer(look: Inspection, folder: str, *, name: str) -> Part | None:
    """The part that encoder.jit and decoder.jit of a folder make; None, and every fault noted, where they do not.

    name: what the part is called.
    """
    faults_before = len(look.faults)
    programs = programs_in(look, folder, title=_TITLE, constants=_CONSTANTS, expected=_EXPECTED)
    sizes = programs.sizes(look, last="quant_conv") if programs else None
    if programs is None or sizes is None:
        return None
    mirrored = "decoder.up.2.upsample.conv1.conv3d.weight" not in programs.decoder.tensors
    found = Architecture(*sizes, mirrored=mirrored)
    programs.check(look, found.encoder(), found.decoder())
    if len(look.faults) > faults_before:
        return None
    return programs.part(look, name, [*found.encoder(), *found.decoder()], found.config())
