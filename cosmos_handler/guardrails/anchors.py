"""Where RetinaFace looks for faces, and how its answers become boxes."""

import torch
from torchvision.ops import nms

# For each level of the pyramid: pixels from cell to cell, and the sides of the two squares around each.
_CELLS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
_CENTRE_SCALE, _SIZE_SCALE = 0.1, 0.2  # the units of the offsets that the network was trained to give
_MOST_CANDIDATES, _MOST_FACES = 5000, 750  # in one frame, before and after boxes of the same face are merged
_SAME_FACE = 0.4  # intersection over union from which two boxes are one face


def make_anchors(height: int, width: int, *, device: torch.device) -> torch.Tensor:
    """Of a frame: centre x, centre y and side in pixels, [anchors, 3], in the order of the network's answers."""
    levels = []
    for step, sides in _CELLS:
        rows = (torch.arange(-(-height // step), device=device) + 0.5) * step
        columns = (torch.arange(-(-width // step), device=device) + 0.5) * step
        y, x, side = torch.meshgrid(rows, columns, torch.tensor(sides, device=device).float(), indexing="ij")
        levels.append(torch.stack([x, y, side], dim=-1).reshape(-1, 3))
    return torch.cat(levels)


def find_boxes(
    offsets: torch.Tensor, scores: torch.Tensor, anchors: torch.Tensor, *, confidence: float
) -> torch.Tensor:
    """The faces of one frame: left, top, right, bottom in pixels, [faces, 4], the surest first.

    offsets [anchors, 4] and scores [anchors]: of the network. A face may lie partly outside of the frame.
    """
    likely = torch.nonzero(scores > confidence).flatten()
    likely = likely[scores[likely].argsort(descending=True)][:_MOST_CANDIDATES]
    offsets, anchors = offsets[likely].float(), anchors[likely]
    side = anchors[:, 2:]
    centre = anchors[:, :2] + offsets[:, :2] * _CENTRE_SCALE * side
    half = side * torch.exp(offsets[:, 2:] * _SIZE_SCALE) / 2
    boxes = torch.cat([centre - half, centre + half], dim=1)
    return boxes[nms(boxes, scores[likely].float(), _SAME_FACE)][:_MOST_FACES]
