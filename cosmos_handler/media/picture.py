"""One frame as a PNG file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def write_png(path: Path, frame: NDArray[np.uint8], *, metadata: Mapping[str, str]) -> None:
    """Write a uint8 RGB frame [H, W, 3] without loss. metadata: text chunks by their keys, any text.

    Raises ValueError for a frame of another kind.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"the frame is {frame.dtype} {frame.shape}, not uint8 [H, W, 3]")
    texts = PngInfo()
    for key, value in metadata.items():
        texts.add_itxt(key, value)
    Image.fromarray(np.ascontiguousarray(frame)).save(path, "PNG", pnginfo=texts)
