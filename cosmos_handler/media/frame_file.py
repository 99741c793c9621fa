"""Frames on their way to disk, one at a time, as a .npy file that appears only when it is whole."""

from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cosmos_handler.media.clip import partial_path


class FrameFile:
    """Writes uint8 [T, H, W, 3] to `path`; as a context manager, it leaves no file behind an exception."""

    def __init__(self, path: Path, *, num_frames: int) -> None:
        self._path = path
        self._num_frames = num_frames
        self._size: tuple[int, int] | None = None
        self._file: BinaryIO

    def __enter__(self) -> "FrameFile":
        self._file = partial_path(self._path).open("wb")
        return self

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append one uint8 [H, W, 3] frame; all frames have the size of the first. Raises ValueError."""
        height, width, _ = frame.shape
        if self._size is None:
            self._size = (height, width)
            shape = (self._num_frames, height, width, 3)
            npy.write_array_header_1_0(self._file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        if frame.shape != (*self._size, 3):
            raise ValueError(f"a frame of {frame.shape} in a file of {self._size}")
        self._file.write(np.ascontiguousarray(frame).data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        partial = partial_path(self._path)
        if error is None:
            partial.replace(self._path)
        else:
            partial.unlink()
