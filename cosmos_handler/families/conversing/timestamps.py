"""The time written below every frame, which Reason 1 was trained to read questions of time from."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

# Two patches of Qwen2.5-VL: the strip becomes one row of tokens of its own.
STRIP_PIXELS = 28
_FONT_SIZE = 20  # pixels; the typeface is Aileron, which is part of Pillow
_MARGIN_PIXELS = 4


def with_timestamps(frames: torch.Tensor, seconds: list[float]) -> torch.Tensor:
    """uint8 [T, 3, H, W] → [T, 3, H + 28, W], a black strip at the bottom of each with its time in white.

    The text stands at the left and in the middle by turns, so that neighbours never look alike.
    """
    strips = [_strip(frames.shape[3], time, slot=number % 2) for number, time in enumerate(seconds)]
    return torch.cat([frames, torch.from_numpy(np.stack(strips)).permute(0, 3, 1, 2)], dim=2)


def _strip(width: int, seconds: float, *, slot: int) -> np.ndarray:
    image = Image.new("RGB", (width, STRIP_PIXELS))
    left = _MARGIN_PIXELS if slot == 0 else width // 2
    position = (left, STRIP_PIXELS // 2)
    ImageDraw.Draw(image).text(position, f"{seconds:.2f}s", "white", ImageFont.load_default(_FONT_SIZE), anchor="lm")
    return np.asarray(image)
