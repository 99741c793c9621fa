"""Tiny Predict2.5 in NVIDIA's own form: the main branch of nvidia/Cosmos-Predict2.5-2B, from its list of tensors."""

from collections.abc import Callable
from pathlib import Path

import torch

from scripts.tiny.native import save, tensors
from scripts.tiny.predict2_5 import text_encoder
from scripts.tiny.tokenizer import write_tokenizer

POST_TRAINED = "base/post-trained/81edfebe-bd6a-4039-8c1d-737df1a790bf_ema_bf16.pt"


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`, and beside it the text encoder that NVIDIA's lacks."""
    tokenizer = write_tokenizer(folder / "tokenizer", longest_tokens=131_072)
    report("tokenizer")
    text_encoder(tokenizer, seed=seed).save_pretrained(folder / "text_encoder")
    report("text_encoder")
    save(folder / POST_TRAINED, tensors("predict2.5", "tiny", seed=seed))
    report(POST_TRAINED)
    save(folder / "tokenizer.pth", tensors("wan2.1_vae", "tiny", seed=seed, dtype=torch.float32))
    report("tokenizer.pth")
