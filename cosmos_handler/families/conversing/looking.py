"""How large a model sees its images and frames: NVIDIA's pixel budget, worked out for each medium on its own."""

from typing import Any

import torch
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_utils import SizeDict
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as smart_resize_clip

from cosmos_handler.errors import InvalidField
from cosmos_handler.families.conversing.timestamps import STRIP_PIXELS, with_timestamps
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.messages.tasks import Vision

# No reasoner holds more of them; a patch of pixels, or of pixels in two frames, becomes one.
_MOST_TOKENS = 262_144
# Leaves room above the smallest size, so that a long clip still has an aspect ratio (as qwen-vl-utils does).
_FLOOR_ABOVE_MIN = 1.05


def has_budget(vision: Vision) -> bool:
    """Whether anything is asked for that the processor would not do by itself."""
    return vision != Vision()


def as_seen(processor: Any, medium: MediaFile, vision: Vision) -> torch.Tensor:
    """The frames at the size that the budget allows: uint8 [T, C, H, W]. Raises InvalidField, and ValueError where the
    processor's rule has no answer."""
    own = processor.image_processor if medium.kind == "image" else processor.video_processor
    height, width = _size(own, medium, vision)
    frames = torch.from_numpy(medium.frames().copy()).permute(0, 3, 1, 2)
    if (height, width) != (medium.height, medium.width):
        frames = TorchvisionBackend.resize(own, frames, SizeDict(height=height, width=width), resample=own.resample)
    if vision.timestamps and medium.kind == "video" and medium.source_fps is not None:
        if STRIP_PIXELS % _factor(own):
            raise InvalidField("timestamps", "cannot be shown to this model, whose patches do not fit below a frame")
        frames = with_timestamps(frames, [index / medium.source_fps for index in medium.indices])
    return frames


def num_tokens(processor: Any, medium: MediaFile, vision: Vision) -> int:
    """How many tokens a medium will be, reckoned before any of its pixels is touched. Raises as as_seen does."""
    own = processor.image_processor if medium.kind == "image" else processor.video_processor
    height, width = _size(own, medium, vision)
    _refuse_huge(own, medium, vision, height * width * medium.num_frames)
    if vision.timestamps and medium.kind == "video":
        height += STRIP_PIXELS
    merged_frames = -(-medium.num_frames // own.temporal_patch_size)
    return int(merged_frames * (height // _factor(own)) * (width // _factor(own)))


def _refuse_huge(own: Any, medium: MediaFile, vision: Vision, num_pixels: int) -> None:
    """Before they are made: enlarging alone could take all of the host's memory."""
    most = _MOST_TOKENS * _factor(own) ** 2 * (own.temporal_patch_size if medium.kind == "video" else 1)
    if num_pixels > most:
        names = ("resized_height", "min_pixels", "shortest_edge", "max_pixels", "longest_edge", "total_pixels")
        name = next((name for name in names if getattr(vision, name) is not None), medium.kind)
        raise InvalidField(name, f"makes {num_pixels} pixels of the {medium.kind}", allowed=f"up to {most} in all")


def _factor(own: Any) -> int:
    return int(own.patch_size * own.merge_size)


def _size(own: Any, medium: MediaFile, vision: Vision) -> tuple[int, int]:
    factor = _factor(own)
    if vision.resized_height is not None and vision.resized_width is not None:
        for name in ("resized_height", "resized_width"):
            if getattr(vision, name) % factor:
                raise InvalidField(name, f"is {getattr(vision, name)}, not a multiple of {factor} as this model needs")
        return vision.resized_height, vision.resized_width
    if medium.kind == "video" and isinstance(own, Qwen3VLVideoProcessor):
        least, most = _clip_bounds(own, medium.num_frames, vision)
        fitted = smart_resize_clip(
            num_frames=medium.num_frames,
            height=medium.height,
            width=medium.width,
            temporal_factor=own.temporal_patch_size,
            factor=factor,
            min_pixels=least,
            max_pixels=most,
        )
    else:
        least, most = _frame_bounds(own, medium, vision)
        fitted = smart_resize(medium.height, medium.width, factor=factor, min_pixels=least, max_pixels=most)
    return int(fitted[0]), int(fitted[1])


def _frame_bounds(own: Any, medium: MediaFile, vision: Vision) -> tuple[int, int]:
    """Least and most pixels of one image or one frame, where the processor's `size` counts those."""
    least = vision.min_pixels or vision.shortest_edge or own.size["shortest_edge"]
    most = vision.max_pixels or vision.longest_edge or own.size["longest_edge"]
    if vision.total_pixels is not None and medium.kind == "video":
        share = vision.total_pixels * own.temporal_patch_size // medium.num_frames
        most = max(min(most, share), int(least * _FLOOR_ABOVE_MIN))
    return least, most


def _clip_bounds(own: Any, num_frames: int, vision: Vision) -> tuple[int, int]:
    """Least and most pixels of all frames together, where the processor's `size` counts those."""
    least = vision.shortest_edge or own.size["shortest_edge"]
    most = vision.longest_edge or own.size["longest_edge"]
    if vision.min_pixels is not None:
        least = vision.min_pixels * num_frames
    if vision.max_pixels is not None:
        most = vision.max_pixels * num_frames
    if vision.total_pixels is not None:
        most = min(most, vision.total_pixels * own.temporal_patch_size)
        most = max(most, int(least * _FLOOR_ABOVE_MIN))
    return least, most
