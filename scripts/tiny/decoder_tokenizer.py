"""Tiny CV8x8x8 in NVIDIA's own form: encoder.jit, decoder.jit and mean_std.pt, from the lists of their tensors."""

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKLCosmos

from cosmos_handler.artifacts.native.continuous_tokenizer import LATENT_CHANNELS, STATISTICS_FILE, Architecture
from cosmos_handler.artifacts.native.statistics import Statistics
from cosmos_handler.artifacts.native.tokenizer_programs import DECODER_FILE, ENCODER_FILE
from scripts.tiny import programs
from scripts.tiny.native import listed
from scripts.tiny.programs import Program
from scripts.tiny.weights import generator

ENCODER_LIST, DECODER_LIST = "cv8x8x8_encoder", "cv8x8x8_decoder"

_LATENT_FRAMES = 16  # of which the statistics are, as the published ones
_EXAMPLE_PIXELS = (1, 3, 9, 16, 16)
_EXAMPLE_LATENTS = (1, LATENT_CHANNELS, 2, 2, 2)  # two in time, as for DV8x16x16
_SPREADS = {"decoder.conv_out.1.": 0.04}  # so that pixels stay about -1 to 1


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write all three into the existing `folder`.

    In float32, where the published ones have bfloat16: torch cannot average that on a CPU.
    """
    means, deviations = statistics(seed=seed)
    torch.save((means, deviations), folder / STATISTICS_FILE)
    report(STATISTICS_FILE)
    sheet = architecture("tiny")
    model = AutoencoderKLCosmos(**sheet.config(Statistics((), ()))).eval()

    def encode(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents, and what NVIDIA's encoder answers besides."""
        latents = model.encode(pixels).latent_dist.mode()
        return latents, torch.zeros(1)

    def decode(latents: torch.Tensor) -> torch.Tensor:
        pixels: torch.Tensor = model.decode(latents).sample
        return pixels

    encoder = Program(model, ENCODER_LIST, sheet.encoder(), tensors(ENCODER_LIST, "tiny", seed=seed), run=encode)
    encoder.save(folder / ENCODER_FILE, torch.zeros(_EXAMPLE_PIXELS))
    report(ENCODER_FILE)
    decoder = Program(model, DECODER_LIST, sheet.decoder(), tensors(DECODER_LIST, "tiny", seed=seed), run=decode)
    decoder.save(folder / DECODER_FILE, torch.zeros(_EXAMPLE_LATENTS))
    report(DECODER_FILE)


def architecture(model: str) -> Architecture:
    """That of a model of the lists: "tiny" or "published"."""
    return Architecture(width=listed(ENCODER_LIST)["sizes"][model]["width"])


def tensors(name: str, model: str, *, seed: int) -> dict[str, torch.Tensor]:
    """The float32 weights of a list."""
    return programs.tensors(name, model, seed=seed, spreads=_SPREADS)


def statistics(*, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and deviations of latents: [16, 16] each, of the channels in each of the latent frames."""
    drawn = torch.randn(2, LATENT_CHANNELS, _LATENT_FRAMES, generator=generator(seed, STATISTICS_FILE))
    return 0.2 * drawn[0], 0.7 + 0.1 * drawn[1].tanh()
