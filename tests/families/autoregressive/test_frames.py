"""Frames come to the model's size and back to bytes with NVIDIA's numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.model

Reference = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return dict(np.load(Path(__file__).with_name("video_tokenizer.npz")))


def picture(height: int, width: int) -> NDArray[np.uint8]:
    import torch

    drawn = torch.randint(
        0, 256, (height, width, 3), generator=torch.Generator().manual_seed(height), dtype=torch.uint8
    )
    frame: NDArray[np.uint8] = drawn.numpy()
    return frame


@pytest.mark.parametrize("size", [(333, 517), (1080, 1920), (640, 1024), (100, 40), (720, 1280)])
def test_resized_until_covered_and_cut(reference: Reference, size: tuple[int, int]) -> None:
    from cosmos_handler.families.autoregressive.frames import context_pixels

    pixels = context_pixels(picture(*size)[None], 1)
    assert pixels.shape == (1, 3, 1, 640, 1024)
    expected = reference[f"resized.{size[0]}x{size[1]}"]
    assert np.abs(pixels[:, :, 0, 3::80, 5::80].numpy() - expected).max() < 1e-6


@pytest.mark.parametrize(("given", "used"), [(1, 1), (8, 1), (9, 9), (12, 9)])
def test_the_last_frames_are_the_context(given: int, used: int) -> None:
    from cosmos_handler.families.autoregressive.frames import context_pixels

    frames = np.stack([np.full((16, 16, 3), number * 10, dtype=np.uint8) for number in range(given)])
    pixels = context_pixels(frames, used, height=16, width=16)
    assert pixels.shape == (1, 3, used, 16, 16)
    assert pixels[0, 0, :, 0, 0].tolist() == pytest.approx(
        [number * 10 / 255 * 2 - 1 for number in range(given - used, given)], abs=1e-6
    )


@pytest.mark.parametrize(("given", "used"), [(8, 9), (9, 5), (0, 1)])
def test_refuses_what_the_model_cannot_be_given(given: int, used: int) -> None:
    from cosmos_handler.families.autoregressive.frames import context_pixels

    with pytest.raises(ValueError, match=f"{used} of {given} frames cannot be given"):
        context_pixels(np.zeros((given, 16, 16, 3), dtype=np.uint8), used)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bytes_of_decoded_pixels(reference: Reference, dtype: str) -> None:
    import torch

    from cosmos_handler.families.autoregressive.frames import shown_frames

    values = torch.linspace(-1.2, 1.2, 601).to(getattr(torch, dtype))
    frames = shown_frames(values.reshape(1, 1, 1, 1, -1).expand(1, 3, 2, 1, -1))
    assert frames.shape == (2, 1, 601, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames[1, 0, :, 2], reference[f"shown.{dtype}"])
