"""A decoded input as a file of frames, which any process can map without decoding anything."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cosmos_handler.errors import DecoderFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def partial_path(path: Path) -> Path:
    """Where a file lies while it is being written."""
    return path.with_name(path.name + ".partial")


@dataclass(frozen=True)
class MediaFile:
    """An image or a clip, decoded and ready for the model process.

    path: a .npy file, uint8, [T, H, W, 3] RGB; an image has T == 1.
    num_frames, height, width: of the frames in the file, turned upright.
    source_fps: frames per second of the source; None for an image.
    source_num_frames: frames in the whole source; 1 for an image.
    indices: which frames of the source these are, ascending.
    stretch_num_frames: frames in the part of the source that these were taken from; None where that is all of it.
    """

    kind: Literal["image", "video"]
    path: str
    num_frames: int
    height: int
    width: int
    source_fps: float | None
    source_num_frames: int
    indices: tuple[int, ...]
    stretch_num_frames: int | None = None

    def frames(self) -> "NDArray[np.uint8]":
        """The frames, read-only and read from disk as they are touched: uint8 [T, H, W, 3].

        Raises DecoderFailed where the file is not what this value says of it.
        """
        # Not at the top: the front passes these values on without looking into the files.
        import numpy as np
        from numpy.lib import format as npy

        # The file comes from a process that has seen untrusted bytes: nothing but a .npy is opened, never a pickle, and
        # its header is held against the answer.
        try:
            frames: NDArray[np.uint8] = npy.open_memmap(self.path, mode="r")
        except ValueError as error:
            raise DecoderFailed("the decoded frames cannot be read") from error
        if frames.dtype != np.uint8 or frames.shape != (self.num_frames, self.height, self.width, 3):
            raise DecoderFailed("the decoded frames are not of the announced size")
        return frames
