"""Tiny Transfer2.5 in NVIDIA's own form: the main branch of nvidia/Cosmos-Transfer2.5-2B, from its list of tensors."""

from collections.abc import Callable
from pathlib import Path

import torch

from scripts.tiny.native import save, tensors
from scripts.tiny.predict2_5 import text_encoder
from scripts.tiny.tokenizer import write_tokenizer

CHECKPOINTS = (
    "general/edge/61f5694b-0ad5-4ecd-8ad7-c8545627d125_ema_bf16.pt",
    "general/blur/ba2f44f2-c726-4fe7-949f-597069d9b91c_ema_bf16.pt",
    "general/depth/626e6618-bfcd-4d9a-a077-1409e2ce353f_ema_bf16.pt",
    "general/seg/5136ef49-6d8d-42e8-8abf-7dac722a304a_ema_bf16.pt",
)


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`, and beside it the parts that NVIDIA's lacks.

    Those are the text encoder, and the VAE of nvidia/Cosmos-Predict2.5-2B.
    """
    tokenizer = write_tokenizer(folder / "tokenizer", longest_tokens=131_072)
    report("tokenizer")
    text_encoder(tokenizer, seed=seed).save_pretrained(folder / "text_encoder")
    report("text_encoder")
    base = tensors("transfer2.5", "tiny", seed=seed)
    for number, file in enumerate(CHECKPOINTS, start=1):
        # The transformer is the same in every file, the branches are not.
        branch = tensors("transfer2.5", "tiny", seed=seed + 1000 * number)
        save(folder / file, base | {name: value for name, value in branch.items() if ".control_" in name})
        report(file)
    save(folder / "tokenizer.pth", tensors("wan2.1_vae", "tiny", seed=seed, dtype=torch.float32))
    report("tokenizer.pth")
