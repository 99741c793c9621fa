"""A network of a few thousand weights that are a formula's, so that the reference's answers are all that is kept."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.tiny.native import shapes

REFERENCE = Path(__file__).parent / "network.npz"

# Each: whether it reads text, and whether its positions are stretched.
CASES = {"plain": (False, False), "yarn": (False, True), "text": (True, False), "text_yarn": (True, True)}

LATENT_SHAPE = [2, 3, 4]
YARN = {"scale": 2, "beta_fast": 4, "beta_slow": 1, "original_latent_shape": [3, 20, 32]}
READ_TOKENS = 12  # together, before those that come one by one
TEXT_SHAPE = (5, 24)


def uniform(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Numbers in [-1, 1) by the name and the place: SplitMix64 of both, its upper 24 bits."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        state = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()) << 24)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return ((state >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)).reshape(shape)


def weights(*, reads_text: bool) -> dict[str, NDArray[np.float32]]:
    """All weights by NVIDIA's names."""
    found = shapes("autoregressive_text" if reads_text else "autoregressive", "reference")
    return {name: _weight(name.removeprefix("model."), shape) for name, shape in found.items()}


def _weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    numbers = uniform(name, shape)
    if len(shape) == 1:
        return np.float32(1) + numbers / np.float32(4)  # gains of norms that are not all alike
    return numbers * np.float32(1 if "embeddings" in name else 2 / np.sqrt(shape[1]))


def tokens(*, reads_text: bool) -> NDArray[np.int64]:
    """Of a whole video: [1, N]."""
    codes = ((uniform("codes", (24,)) + 1) * 32).astype(np.int64)
    return np.concatenate([np.array([64] if reads_text else [], np.int64), codes])[None]


def text() -> NDArray[np.float32]:
    """A prompt's embeddings: [1, M, C]."""
    return uniform("text", (1, *TEXT_SHAPE))


def config(case: str) -> dict[str, Any]:
    """What the class is built from."""
    reads_text, stretched = CASES[case]
    return {
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 64,
        "latent_shape": LATENT_SHAPE,
        "yarn": YARN if stretched else None,
        "context_width": TEXT_SHAPE[1] if reads_text else None,
    }
