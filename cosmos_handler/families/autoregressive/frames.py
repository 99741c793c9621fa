"""Frames as the autoregressive models see them: 1024x640, cut rather than padded, from -1 to 1; and back to pixels."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

HEIGHT, WIDTH = 640, 1024  # pixels
NUM_FRAMES = 33  # of every video: those that are given, and those that follow
CONTEXT_FRAMES = (1, 9)  # how many may be given
FRAMES_PER_SECOND = 25


def context_pixels(
    frames: NDArray[np.uint8], num_frames: int, *, height: int = HEIGHT, width: int = WIDTH
) -> torch.Tensor:
    """The last num_frames of [F, H, W, 3] as the tokenizer takes them, [1, 3, num_frames, height, width] from -1 to 1.

    NVIDIA's code repeats the last of them until there are 33, and drops the tokens of the repetitions; the tokenizer
    is causal, so the tokens that are left are those of the frames without them. Raises ValueError for another number
    of frames than the model can be given, and for fewer frames than that.
    """
    if num_frames not in CONTEXT_FRAMES or len(frames) < num_frames:
        raise ValueError(f"{num_frames} of {len(frames)} frames cannot be given to the model")
    given = torch.from_numpy(np.ascontiguousarray(frames[-num_frames:])).permute(0, 3, 1, 2)
    pixels = covering(given.float() / 255.0 * 2 - 1, height=height, width=width)
    return pixels.transpose(0, 1).unsqueeze(0)


def covering(pixels: torch.Tensor, *, height: int, width: int) -> torch.Tensor:
    """Pictures [F, 3, H, W] at another size: scaled until they cover it, and what stands over cut off on both sides."""
    before = pixels.shape[2:]
    ratio = max(width / before[1], height / before[0])
    scaled = (math.ceil(ratio * before[0]), math.ceil(ratio * before[1]))
    if scaled != tuple(before):
        pixels = interpolate(pixels, scaled, mode="bilinear", align_corners=False, antialias=True)
    top, left = round((scaled[0] - height) / 2), round((scaled[1] - width) / 2)
    return pixels[:, :, top : top + height, left : left + width]


def shown_frames(pixels: torch.Tensor) -> NDArray[np.uint8]:
    """The frames [F, H, W, 3] of decoded pixels [1, 3, F, H, W].

    In the type in which they were decoded, and rounded down, as NVIDIA's code does.
    """
    (video,) = (pixels * 0.5 + 0.5).clamp(0, 1)
    frames: NDArray[np.uint8] = (video * 255).to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()
    return frames
