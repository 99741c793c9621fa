"""Random weights that depend on the seed and the parameter's name only, and keep activations in a sane range."""

import hashlib
import math

import torch
from transformers import PreTrainedTokenizerBase

from scripts.tiny.tokenizer import whole_word_ids


def fill(model: torch.nn.Module, *, seed: int, gain: float = 1.0) -> None:
    """Overwrite every parameter of `model` in place and turn it to bfloat16, as the published files are.

    gain: standard deviation of an output per unit of input; matrices are drawn at gain / sqrt(inputs).
    Norm weights become 1, biases small. Each tensor has its own generator, so neither the order in which a library
    creates its layers nor how it initialises them changes the result.
    """
    for name, parameter in model.named_parameters():
        if _is_norm_gain(name, parameter):
            values = torch.ones(parameter.shape)
        else:
            inputs = parameter.numel() // parameter.shape[0]
            scale = 0.02 if parameter.ndim == 1 else gain / math.sqrt(inputs)
            values = torch.randn(parameter.shape, generator=generator(seed, name)) * scale
        parameter.data = values.to(torch.bfloat16)
    model.eval()


def mute_all_but_words(rows: torch.Tensor, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make whole words the likely output, rather than an early end, control tokens, or bytes that are no text.

    rows: the output layer's weight, which is changed in place: the rows of all other tokens are made short. Where it is
    the embedding as well, the first norm of the network restores their length, which leaves them as telling as any.
    """
    muted = torch.ones(rows.shape[0], dtype=torch.bool)
    muted[whole_word_ids(tokenizer)] = False
    rows.data[muted] *= 0.05


def _is_norm_gain(name: str, parameter: torch.nn.Parameter) -> bool:
    # A one-dimensional "weight" is the gain of a norm; Wan's norms call theirs gamma and give it trailing axes of 1.
    return name.endswith(".gamma") or (parameter.ndim == 1 and name.endswith("weight"))


def generator(seed: int, name: str) -> torch.Generator:
    """The generator of one tensor."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def padded_rows(tokens: int, *, multiple: int = 64) -> int:
    """Rows of an embedding for `tokens` tokens: rounded up with at least one spare row, as the published ones are."""
    return (tokens // multiple + 1) * multiple
