"""How fast this machine is, measured once at the start: a second on a GPU, less on a CPU."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

_REPEATS = 5
_READ_BYTES = 64 * 2**20
# A device's own memory is not timed on a CPU, which has none; and a disk that cannot be read is none to plan with.
_LEAST_RATE = 1e6


def linear_flops_per_second(device: torch.device) -> float:
    """Of a large product of matrices, in the type of the weights."""
    size = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / _seconds(lambda: left @ right, device)


def attention_flops_per_second(device: torch.device) -> float:
    """Of attention without a mask, as the transformers have it: heads of 128 wide."""
    heads, tokens = (16, 16_384) if device.type == "cuda" else (2, 512)
    query = torch.randn(1, heads, tokens, 128, device=device, dtype=torch.bfloat16)
    work = 4 * heads * tokens**2 * 128
    return work / _seconds(lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query), device)


def memory_bytes_per_second(device: torch.device) -> float:
    """Of reading and writing the device's memory."""
    source = torch.empty((2**30 if device.type == "cuda" else 2**24), dtype=torch.uint8, device=device)
    return 2 * source.numel() / _seconds(lambda: source.clone(), device)


def link_bytes_per_second(device: torch.device) -> float:
    """From host memory to the device, pinned where there is a GPU."""
    on_gpu = device.type == "cuda"
    source = torch.empty(2**28 if on_gpu else 2**24, dtype=torch.uint8, pin_memory=on_gpu)
    there = torch.empty_like(source, device=device)
    return source.numel() / _seconds(lambda: there.copy_(source, non_blocking=True), device)


def disk_bytes_per_second(files: list[Path]) -> float:
    """From the largest weight file, past the page cache where the system lets us."""
    largest = max((file for file in files if file.is_file()), key=lambda file: file.stat().st_size, default=None)
    if largest is None:
        return _LEAST_RATE
    with largest.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, _READ_BYTES, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        count = len(file.read(_READ_BYTES))
        return max(_LEAST_RATE, count / max(time.perf_counter() - began, 1e-9))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The fastest of a few times, after one to warm up: what else the machine does is no property of it."""
    best = float("inf")
    for number in range(_REPEATS + 1):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        if number:
            best = min(best, time.perf_counter() - began)
    return max(best, 1e-9)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
