"""Tiny DV8x16x16 in NVIDIA's own form: encoder.jit and decoder.jit, from the lists of their tensors.

The programs are traced: they hold the listed tensors under the listed names, and compute what our tokenizer does.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from cosmos_handler.artifacts.native.video_tokenizer import DECODER_FILE, ENCODER_FILE, Architecture
from cosmos_handler.families.autoregressive.tokenizer import VideoTokenizer
from scripts.tiny.native import listed, shapes
from scripts.tiny.weights import generator

ENCODER_LIST, DECODER_LIST = "dv8x16x16_encoder", "dv8x16x16_decoder"

_EXAMPLE_PIXELS = (1, 3, 9, 32, 32)
_EXAMPLE_TOKENS = (1, 2, 2, 2)  # two in time: tracing makes it a constant whether time is lengthened
# So that latents reach most levels of the quantizer, and pixels stay about -1 to 1.
_SPREADS = {"quant_conv.": 6.0, "decoder.conv_out.1.": 0.1}


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write both programs into the existing `folder`.

    In float32, where the published ones have bfloat16: torch cannot average that on a CPU.
    """
    tokenizer = VideoTokenizer(**architecture("tiny").config()).eval()
    encoder = _Program(tokenizer, ENCODER_LIST, seed=seed, run=_encode)
    _save(encoder, torch.zeros(_EXAMPLE_PIXELS), folder / ENCODER_FILE)
    report(ENCODER_FILE)
    decoder = _Program(tokenizer, DECODER_LIST, seed=seed, run=_decode)
    _save(decoder, torch.zeros(_EXAMPLE_TOKENS, dtype=torch.int32), folder / DECODER_FILE)
    report(DECODER_FILE)


def architecture(model: str) -> Architecture:
    """That of a model of the lists: "tiny" or "published"."""
    sizes = listed(ENCODER_LIST)["sizes"][model]
    return Architecture(width=sizes["width"], latent_channels=sizes["z"], mirrored=True)


def tensors(name: str, model: str, *, seed: int) -> dict[str, torch.Tensor]:
    """The float32 weights of a list. No norm and no bias does nothing, so that none can be taken for another."""
    return {key: _values(key, shape, seed) for key, shape in shapes(name, model).items()}


def _values(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    drawn = torch.randn(shape, generator=generator(seed, name))
    if name.endswith("norm.weight"):
        return 1 + 0.2 * drawn
    if len(shape) == 1:
        return 0.1 * drawn
    spread = next((spread for start, spread in _SPREADS.items() if name.startswith(start)), 1.0)
    return spread / math.sqrt(math.prod(shape[1:])) * drawn


class _Program(torch.nn.Module):
    """Modules nested as NVIDIA's are, with the tensors of a list, which become the tokenizer's own.

    run: what the tokenizer does with them.
    """

    def __init__(
        self, tokenizer: VideoTokenizer, name: str, *, seed: int, run: Callable[[VideoTokenizer, torch.Tensor], object]
    ) -> None:
        super().__init__()
        sheet = architecture("tiny")
        ours = {line.theirs: line.ours for line in (*sheet.encoder(), *sheet.decoder())}
        shared = {}
        for key, tensor in tensors(name, "tiny", seed=seed).items():
            shared[ours[key]] = torch.nn.Parameter(tensor, requires_grad=False)
            _holder(self, key).register_parameter(_last(key), shared[ours[key]])
        for key in listed(name)["beside"]:
            _holder(self, key).register_buffer(_last(key), _constant(_last(key), tokenizer))
        tokenizer.load_state_dict(shared, strict=False, assign=True)
        self._run = partial(run, tokenizer)

    def forward(self, given: torch.Tensor) -> object:
        """What the tokenizer makes of it."""
        return self._run(given)


def _holder(module: torch.nn.Module, key: str) -> torch.nn.Module:
    """The module that holds a tensor, made if absent."""
    for name in key.split(".")[:-1]:
        if name not in dict(module.named_children()):
            module.add_module(name, torch.nn.Module())
        module = module.get_submodule(name)
    return module


def _encode(tokenizer: VideoTokenizer, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, codes and a loss that is nothing, as NVIDIA's encoder answers."""
    tokens = tokenizer.quantizer(tokenizer.latents(pixels))
    codes = tokenizer.quantizer.codes(tokens)
    return tokens.to(torch.int32), codes, torch.zeros_like(codes[:, :1, :1, :1, :1])


def _decode(tokenizer: VideoTokenizer, tokens: torch.Tensor) -> torch.Tensor:
    return tokenizer.decode(tokens)


def _constant(name: str, tokenizer: VideoTokenizer) -> torch.Tensor:
    """One of the constants that tracing finds beside the weights."""
    quantizer = tokenizer.quantizer
    made: Mapping[str, Callable[[], torch.Tensor]] = {
        "wavelets": lambda: torch.full((2,), math.sqrt(0.5)),
        "_arange": lambda: torch.arange(2),
        "patch_size_buffer": lambda: torch.tensor([4], dtype=torch.int32),
        "_levels": lambda: quantizer.levels.clone(),
        "_basis": lambda: quantizer.places.clone(),
        "implicit_codebook": lambda: quantizer.codes(torch.arange(quantizer.num_codes)),
    }
    return made[name]()


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _save(program: _Program, example: torch.Tensor, path: Path) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing says of numbers that become constants
        torch.jit.save(torch.jit.trace(program.eval(), example, check_trace=False), path)
