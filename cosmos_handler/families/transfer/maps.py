"""The map of every frame that a control goes by: taken as given, or computed from the input with NVIDIA's presets."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from cosmos_handler.messages.tasks import Transfer

Picture = NDArray[np.uint8]

# The lower and the upper threshold of Canny's detector.
_EDGE_THRESHOLDS = {
    "very_low": (20, 50),
    "low": (50, 100),
    "medium": (100, 200),
    "high": (200, 300),
    "very_high": (300, 400),
}
# How much smaller the picture is blurred, and how much smaller it is then made and enlarged again.
_BLUR_FACTORS = {"very_low": (1, 4), "low": (4, 4), "medium": (2, 10), "high": (1, 16), "very_high": (4, 16)}
_BILATERAL_DIAMETER, _BILATERAL_SIGMA_COLOR, _BILATERAL_SIGMA_SPACE = 30, 150, 100
# Labels must not be mixed, so segmentation is never smoothed; the rest as NVIDIA's code has it.
_INTERPOLATION = {
    "edge": cv2.INTER_LINEAR,
    "vis": cv2.INTER_AREA,
    "depth": cv2.INTER_LINEAR,
    "seg": cv2.INTER_NEAREST,
}


def control_maps(task: Transfer, on_frame: Callable[[int], None]) -> Picture:
    """The maps at the model's size, [T, H, W, 3]. on_frame: called with the number of frames that are done."""
    if task.control_media is not None:
        source, make = task.control_media.frames(), None
        interpolation = _INTERPOLATION[task.control]
    elif task.video is not None:
        source, make = task.video.frames(), {"edge": edges, "vis": blurred}[task.control]
        interpolation = cv2.INTER_AREA
    else:
        raise AssertionError("a transfer has neither a video nor a control: this is a bug")
    maps = np.empty((task.num_frames, task.height, task.width, 3), dtype=np.uint8)
    for number, frame in enumerate(source):
        picture = resized(frame, task.height, task.width, interpolation)
        maps[number] = make(picture, task.preset) if make else picture
        on_frame(number + 1)
    return maps


def resized(picture: Picture, height: int, width: int, interpolation: int) -> Picture:
    """The picture at another size; untouched where it has that size already."""
    if picture.shape[:2] == (height, width):
        return picture
    return _uint8(cv2.resize(picture, (width, height), interpolation=interpolation))


def edges(picture: Picture, preset: str) -> Picture:
    """White outlines on black."""
    lower, upper = _EDGE_THRESHOLDS[preset]
    return np.repeat(_uint8(cv2.Canny(picture, lower, upper))[:, :, None], 3, axis=2)


def blurred(picture: Picture, preset: str) -> Picture:
    """The picture without its details: smoothed between edges, then made small and large again."""
    height, width, _ = picture.shape
    before, after = _BLUR_FACTORS[preset]
    small = resized(picture, max(1, height // before), max(1, width // before), cv2.INTER_AREA)
    smooth = _uint8(cv2.bilateralFilter(small, _BILATERAL_DIAMETER, _BILATERAL_SIGMA_COLOR, _BILATERAL_SIGMA_SPACE))
    smooth = resized(smooth, height, width, cv2.INTER_LINEAR)
    coarse = _bicubic(smooth, max(1, height // after), max(1, width // after))
    return _bicubic(coarse, height, width)


def _bicubic(picture: Picture, height: int, width: int) -> Picture:
    """Resized as torchvision does it, which unlike OpenCV smooths when it makes a picture smaller."""
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    made = interpolate(pixels, size=(height, width), mode="bicubic", align_corners=False, antialias=True)
    array: Picture = made[0].clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return array


def _uint8(array: NDArray[np.generic]) -> Picture:
    return array.astype(np.uint8, copy=False)
