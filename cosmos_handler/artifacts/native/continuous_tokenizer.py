"""The continuous video tokenizer CV8x8x8, whose latents the diffusion decoder makes.

Published as the programs encoder.jit and decoder.jit with mean_std.pt beside them; or in diffusers' form, as the folder
vae of Cosmos 1.0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.inspection import Inspection, component_config, joined
from cosmos_handler.artifacts.native.sheet import Line
from cosmos_handler.artifacts.native.statistics import Statistics, examine_statistics, fault_of
from cosmos_handler.artifacts.native.tokenizer_programs import DECODER_FILE, programs_in
from cosmos_handler.artifacts.native.tokenizer_sheet import PATCH, Resampling, conv_lines, decoder_lines, encoder_lines
from cosmos_handler.artifacts.weights import DIFFUSERS, find_part

PART = "decoder_tokenizer"
CLASS = "AutoencoderKLCosmos"
STATISTICS_FILE = "mean_std.pt"
LATENT_CHANNELS = 16
WINDOW_FRAMES = 8  # latents that the diffusion decoder makes at a time

_TITLE = "CV8x8x8"
_HAAR = 0.7071
_BOTH, _NEITHER = Resampling(in_space=True, in_time=True), Resampling(in_space=False, in_time=False)
_CONSTANTS = ("encoder.patcher3d.", "decoder.unpatcher3d.")
_EXPECTED: Mapping[str, Sequence[float]] = {
    "encoder.patcher3d.patch_size_buffer": (PATCH,),
    "encoder.patcher3d.wavelets": (_HAAR, _HAAR),
    "decoder.unpatcher3d.wavelets": (_HAAR, _HAAR),
}
# Of diffusers' class, where config.json says otherwise: it is another tokenizer.
_STATED: Mapping[str, int] = {
    "latent_channels": LATENT_CHANNELS,
    "spatial_compression_ratio": 8,
    "temporal_compression_ratio": 8,
}


@dataclass(frozen=True)
class Architecture:
    """What the shapes leave open. width: channels of the first convolution, 128 in the published one."""

    width: int

    def config(self, statistics: Statistics) -> dict[str, Any]:
        """What diffusers' AutoencoderKLCosmos is built from."""
        width = self.width
        return {
            **_STATED,
            "encoder_block_out_channels": [width, 2 * width, 4 * width, 4 * width],
            "decode_block_out_channels": [2 * width, 4 * width, 4 * width, 4 * width],
            "patch_size": PATCH,
            "latents_mean": list(statistics.means),
            "latents_std": list(statistics.deviations),
        }

    def encoder(self) -> list[Line]:
        """Every tensor of encoder.jit."""
        return [*encoder_lines(self.width, LATENT_CHANNELS, (_BOTH, _NEITHER)), *_square("quant_conv")]

    def decoder(self) -> list[Line]:
        """Every tensor of decoder.jit."""
        return [*_square("post_quant_conv"), *decoder_lines(self.width, LATENT_CHANNELS, (_NEITHER, _BOTH))]


def examine_decoder_tokenizer(look: Inspection, folder: str) -> Part | None:
    """The part that a folder makes, in either form; None, and every fault noted, where it does not.

    A folder without decoder.jit may be, or may have in it as vae, one of diffusers' form.
    """
    if not look.has(joined(folder, DECODER_FILE)):
        for place in (folder, joined(folder, "vae")):
            if look.has(joined(place, "config.json")):
                return _examine_vae(look, place)
    return _examine_programs(look, folder)


def _examine_programs(look: Inspection, folder: str) -> Part | None:
    faults_before = len(look.faults)
    programs = programs_in(look, folder, title=_TITLE, constants=_CONSTANTS, expected=_EXPECTED)
    statistics = examine_statistics(
        look, joined(folder, STATISTICS_FILE), channels=LATENT_CHANNELS, least_frames=WINDOW_FRAMES
    )
    sizes = programs.sizes(look, last="quant_conv") if programs else None
    if programs is None or sizes is None:
        return None
    found = Architecture(sizes[0])
    programs.check(look, found.encoder(), found.decoder())
    if statistics is None or len(look.faults) > faults_before:
        return None
    return programs.part(look, PART, [*found.encoder(), *found.decoder()], found.config(statistics))


def _examine_vae(look: Inspection, folder: str) -> Part | None:
    faults_before = len(look.faults)
    part = find_part(look, PART, folder=folder, rule=DIFFUSERS)
    config = component_config(look, folder, key="_class_name", expected=CLASS)
    if config is None:
        return None
    file = joined(folder, "config.json")
    for name, expected in _STATED.items():
        if config.get(name, expected) != expected:
            look.fault(f"{file} is not of {_TITLE}: {name} is {str(config[name])[:80]}, not {expected}")
    _check_statistics(look, file, config)
    return part if len(look.faults) == faults_before else None


def _check_statistics(look: Inspection, file: str, config: Mapping[str, Any]) -> None:
    """What config.json leaves out is as the library has it, which is as published; an explicit null is not."""
    lists = [config[name] for name in ("latents_mean", "latents_std") if name in config]
    if not lists:
        return
    if len(lists) != 2 or not all(isinstance(each, list) and all(map(_is_number, each)) for each in lists):
        look.fault(f"{file}: latents_mean and latents_std are not two lists of numbers")
        return
    means, deviations = map(tuple, lists)
    fault = fault_of(means, deviations, channels=LATENT_CHANNELS, least_frames=WINDOW_FRAMES)
    if fault is not None:
        look.fault(f"{file} {fault}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _square(name: str) -> list[Line]:
    return list(conv_lines(name, name, (LATENT_CHANNELS, LATENT_CHANNELS, 1, 1, 1)))
