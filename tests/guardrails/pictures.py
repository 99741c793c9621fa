"""Frames that the tiny video guardrails were built to tell apart."""

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

RED = (240, 12, 8)
FACE_RADIUS = 14


def noise(num_frames: int, height: int = 64, width: int = 96) -> Frames:
    return np.random.default_rng(7).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def draw_face(frame: Frames, *, x: int, y: int) -> None:
    """A yellow disc with two eyes and a mouth, in place."""
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]]
    frame[(rows - y) ** 2 + (columns - x) ** 2 <= FACE_RADIUS**2] = (255, 220, 0)
    for eye in (x - 6, x + 6):
        frame[(rows - y + 5) ** 2 + (columns - eye) ** 2 <= 4] = (20, 20, 20)
    frame[(abs(rows - y - 7) <= 1) & (abs(columns - x) <= 6)] = (120, 30, 30)


def face_pixels(frame: Frames, *, x: int, y: int) -> Frames:
    """The square around a face."""
    return frame[y - FACE_RADIUS : y + FACE_RADIUS + 1, x - FACE_RADIUS : x + FACE_RADIUS + 1]
