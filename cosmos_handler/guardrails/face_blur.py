"""Makes faces unrecognisable: RetinaFace finds them, and each becomes a few squares."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from cosmos_handler.artifacts.guardrail_video import FACE_BLUR_PART
from cosmos_handler.guardrails.anchors import find_boxes, make_anchors
from cosmos_handler.guardrails.finding import Finding
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.memory.shapes.guard import FACE_FRAMES as MAX_FRAMES_PER_BATCH
from cosmos_handler.memory.shapes.guard import FACE_PIXELS as PIXELS_PER_BATCH

PART_CLASSES: Mapping[str, PartClass] = {
    FACE_BLUR_PART: PartClass("cosmos_handler.guardrails.retina_face", "RetinaFace"),
}

CONFIDENCE = 0.7
MIN_FACE_PIXELS = 20  # a face that is smaller in width or height stays
BLOCKS = 5  # across a face, and down

_FAR_PIXELS = 2**20  # beyond any frame, and within whole numbers of 32 bits
_MEAN_BGR = (104.0, 117.0, 123.0)  # of the pictures the network was trained with

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two not included


class FaceBlur:
    """Changes the faces of a clip and leaves every other pixel as it is."""

    name = "face_blur"

    def __init__(self, parts: PlacedParts) -> None:
        self._parts = parts

    def check(
        self, frames: NDArray[np.uint8], on_batch: Callable[[int, int], None]
    ) -> tuple[NDArray[np.uint8], Finding]:
        """The frames with their faces pixelated in a copy, or as they are where there are none."""
        height, width = frames.shape[1:3]
        size = frames_per_batch(height, width)
        anchors = make_anchors(height, width, device=self._parts.device)
        blurred, faces, frames_with_faces = frames, 0, 0
        for begin in range(0, len(frames), size):
            found = self._faces(frames[begin : begin + size], anchors)
            if found is None:
                return frames, Finding("error", f"the face detector's outputs are not numbers from frame {begin} on")
            for number, boxes in enumerate(found, start=begin):
                if boxes and blurred is frames:
                    blurred = frames.copy()
                for box in boxes:
                    pixelate(blurred[number], box)
                faces, frames_with_faces = faces + len(boxes), frames_with_faces + bool(boxes)
            on_batch(begin + len(found), len(frames))
        if not faces:
            return frames, Finding("passed", f"no faces in {len(frames)} frames")
        many = "1 face" if faces == 1 else f"{faces} faces"
        return blurred, Finding("changed", f"{many} pixelated, in {frames_with_faces} of {len(frames)} frames")

    @torch.inference_mode()
    def _faces(self, batch: NDArray[np.uint8], anchors: torch.Tensor) -> list[list[Box]] | None:
        """The faces of each frame; None where the network gave what are no numbers."""
        with self._parts.use((FACE_BLUR_PART,)) as modules:
            network = modules[FACE_BLUR_PART]
            dtype = next(network.parameters()).dtype
            pixels = torch.from_numpy(np.ascontiguousarray(batch[..., ::-1])).to(self._parts.device).float()
            pixels = (pixels - pixels.new_tensor(_MEAN_BGR)).permute(0, 3, 1, 2).to(dtype)
            offsets, scores = network(pixels)
        if not (torch.isfinite(offsets).all() and torch.isfinite(scores).all()):
            return None
        height, width = batch.shape[1:3]
        found = [
            find_boxes(*of_frame, anchors, confidence=CONFIDENCE) for of_frame in zip(offsets, scores, strict=True)
        ]
        if not all(torch.isfinite(boxes).all() for boxes in found):
            return None
        return [list(large_boxes(boxes, height=height, width=width)) for boxes in found]


def frames_per_batch(height: int, width: int) -> int:
    """How many frames of a size the network looks at together."""
    return max(1, min(MAX_FRAMES_PER_BATCH, PIXELS_PER_BATCH // (height * width)))


def pixelate(frame: NDArray[np.uint8], box: Box) -> None:
    """Make a box of a frame a few squares of one colour each, in place."""
    left, top, right, bottom = box
    for above, below in pairwise(_edges(top, bottom)):
        for before, behind in pairwise(_edges(left, right)):
            square = frame[above:below, before:behind]
            square[:] = np.rint(square.mean(axis=(0, 1)))


def _edges(begin: int, end: int) -> list[int]:
    blocks = min(BLOCKS, end - begin)
    return [begin + (end - begin) * number // blocks for number in range(blocks + 1)]


def large_boxes(boxes: torch.Tensor, *, height: int, width: int) -> Iterator[Box]:
    """The boxes of faces that are large enough, as far as they lie in the frame; a pixel half covered belongs to it."""
    outwards = torch.cat([boxes[:, :2].floor(), boxes[:, 2:].ceil()], dim=1).clamp(-_FAR_PIXELS, _FAR_PIXELS)
    for left, top, right, bottom in outwards.int().tolist():
        if right - left < MIN_FACE_PIXELS or bottom - top < MIN_FACE_PIXELS:
            continue
        box = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if box[0] < box[2] and box[1] < box[3]:
            yield box
