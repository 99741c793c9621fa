"""A still image to one upright RGB frame; runs in the short-lived process only."""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.frame_file import FrameFile
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.refusal import Refusal, refuse_large_frames
from cosmos_handler.media.sniff import MediaFormat

# What Pillow's readers raise on bytes that are not what they should be.
_FAULTS = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)

# A 16-bit level in 8 bits: 65535 / 257 == 255.
_LEVELS_16_TO_8 = 257


def decode_image(source: Path, output: Path, *, found: MediaFormat, limits: MediaLimits) -> MediaFile:
    """Write the image to `output`. Raises Refusal."""
    Image.MAX_IMAGE_PIXELS = None  # the limit is checked below, with a better sentence
    try:
        frame = _frame(source, found, limits)
    except _FAULTS as error:
        raise Refusal("media", f"is not a whole {found.name} image") from error
    with FrameFile(output, num_frames=1) as file:
        file.write(frame)
    return MediaFile(
        kind="image",
        path=str(output),
        num_frames=1,
        height=frame.shape[0],
        width=frame.shape[1],
        source_fps=None,
        source_num_frames=1,
        indices=(0,),
    )


def _frame(source: Path, found: MediaFormat, limits: MediaLimits) -> NDArray[np.uint8]:
    with Image.open(source, formats=[found.decoder]) as image:
        # Open reads the header alone: an image that unpacks to terabytes is refused for what it announces.
        refuse_large_frames(image.height, image.width, limits)
        # JPEGs are left out: phones put previews and depth maps behind the picture, which comes first.
        if found.decoder != "JPEG" and getattr(image, "n_frames", 1) > 1:
            raise Refusal("media", f"is an animated {found.name}, where a still image is needed")
        return _rgb(ImageOps.exif_transpose(image))


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow's own conversion would clip at 255
        grey = (np.asarray(image).astype(np.uint32) // _LEVELS_16_TO_8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGB"))
