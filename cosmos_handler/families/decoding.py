"""What the families around diffusers' 2.5 pipelines share: frames out of a decoder, and the checker that is none."""

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from numpy.typing import NDArray


class ChecksElsewhere:
    """Stands where a pipeline insists on a safety checker; the checks themselves are run around the family.

    It can answer for nothing: a pipeline that asked it about a text or a video would fail loudly.
    """

    def to(self, device: torch.device) -> None:
        """The pipelines move their checker before they start."""


def uint8_frames(decoded: torch.Tensor) -> NDArray[np.uint8]:
    """What a decoder gave, [1, 3, T, H, W] in -1 to 1, as frames [T, H, W, 3], by the pipelines' own arithmetic.

    The pipelines' frames pass through their checker as uint8, cut off rather than rounded; so do these.
    """
    shown = VaeImageProcessor.denormalize(decoded[0].permute(1, 2, 3, 0))
    array: NDArray[np.uint8] = shown.float().mul_(255).to(torch.uint8).cpu().numpy()
    return array
