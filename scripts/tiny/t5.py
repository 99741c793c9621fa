"""A tiny T5 and a tokenizer of our own, as the text encoder of Cosmos 1.0 lies in diffusers form."""

import re
from pathlib import Path

from transformers import PreTrainedTokenizerBase, T5Config, T5EncoderModel, T5Tokenizer

from scripts.tiny.weights import fill, padded_rows

_SAMPLE = (Path(__file__).parent / "sample_text.txt").read_text(encoding="utf-8")
_LONGEST_TOKENS = 512


def write_text_encoder(folder: Path, *, width: int, seed: int) -> None:
    """Write the folders text_encoder and text_tokenizer. width: of the embeddings."""
    tokenizer = write_tokenizer(folder / "text_tokenizer")
    configuration = T5Config(
        vocab_size=padded_rows(len(tokenizer)), d_model=width, d_kv=8, d_ff=2 * width, num_layers=2, num_heads=2,
        dropout_rate=0.0,
    )  # fmt: skip
    model = T5EncoderModel(configuration)
    fill(model, seed=seed)
    model.save_pretrained(folder / "text_encoder")


def write_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Write it into `folder`: the words of the sample text, and letters for all others."""
    words = dict.fromkeys(re.findall(r"[A-Za-z]+", _SAMPLE))
    letters = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(f"▁{word}", -3.0) for word in words]
    pieces += [(letter, -6.0) for letter in letters]
    tokenizer = T5Tokenizer(vocab=pieces, model_max_length=_LONGEST_TOKENS)
    tokenizer.save_pretrained(folder)
    return tokenizer
