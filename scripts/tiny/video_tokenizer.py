"""Tiny DV8x16x16 in NVIDIA's own form: encoder.jit and decoder.jit, from the lists of their tensors."""

from collections.abc import Callable
from pathlib import Path

import torch

from cosmos_handler.artifacts.native.tokenizer_programs import DECODER_FILE, ENCODER_FILE
from cosmos_handler.artifacts.native.video_tokenizer import Architecture
from cosmos_handler.families.autoregressive.tokenizer import VideoTokenizer
from scripts.tiny import programs
from scripts.tiny.native import listed
from scripts.tiny.programs import Program

ENCODER_LIST, DECODER_LIST = "dv8x16x16_encoder", "dv8x16x16_decoder"

_EXAMPLE_PIXELS = (1, 3, 9, 32, 32)
_EXAMPLE_TOKENS = (1, 2, 2, 2)  # two in time: tracing makes it a constant whether time is lengthened
# So that latents reach most levels of the quantizer, and pixels stay about -1 to 1.
_SPREADS = {"quant_conv.": 6.0, "decoder.conv_out.1.": 0.1}


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write both programs into the existing `folder`.

    In float32, where the published ones have bfloat16: torch cannot average that on a CPU.
    """
    sheet = architecture("tiny")
    tokenizer = VideoTokenizer(**sheet.config()).eval()
    quantizer = tokenizer.quantizer
    constants = {
        "_levels": quantizer.levels.clone,
        "_basis": quantizer.places.clone,
        "implicit_codebook": lambda: quantizer.codes(torch.arange(quantizer.num_codes)),
    }

    def encode(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens, codes and a loss that is nothing, as NVIDIA's encoder answers."""
        tokens = tokenizer.quantizer(tokenizer.latents(pixels))
        codes = tokenizer.quantizer.codes(tokens)
        return tokens.to(torch.int32), codes, torch.zeros_like(codes[:, :1, :1, :1, :1])

    weights = tensors(ENCODER_LIST, "tiny", seed=seed)
    encoder = Program(tokenizer, ENCODER_LIST, sheet.encoder(), weights, run=encode, constants=constants)
    encoder.save(folder / ENCODER_FILE, torch.zeros(_EXAMPLE_PIXELS))
    report(ENCODER_FILE)
    weights = tensors(DECODER_LIST, "tiny", seed=seed)
    decoder = Program(tokenizer, DECODER_LIST, sheet.decoder(), weights, run=tokenizer.decode, constants=constants)
    decoder.save(folder / DECODER_FILE, torch.zeros(_EXAMPLE_TOKENS, dtype=torch.int32))
    report(DECODER_FILE)


def architecture(model: str) -> Architecture:
    """That of a model of the lists: "tiny" or "published"."""
    sizes = listed(ENCODER_LIST)["sizes"][model]
    return Architecture(width=sizes["width"], latent_channels=sizes["z"], mirrored=True)


def tensors(name: str, model: str, *, seed: int) -> dict[str, torch.Tensor]:
    """The float32 weights of a list."""
    return programs.tensors(name, model, seed=seed, spreads=_SPREADS)
