"""Blocks a clip in which a single frame shows what must not be made: SigLIP, and NVIDIA's classifier."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import SiglipImageProcessor

from cosmos_handler.artifacts.guardrail_video import CLASSIFIER_PART, CONTENT_FILTER_PART
from cosmos_handler.guardrails.finding import Finding
from cosmos_handler.guardrails.safety_classifier import LABELS, SAFE
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.memory.shapes.guard import SIGLIP_FRAMES as FRAMES_PER_BATCH

PART_CLASSES: Mapping[str, PartClass] = {
    CONTENT_FILTER_PART: PartClass("cosmos_handler.guardrails.siglip", "SiglipVision"),
    CLASSIFIER_PART: PartClass("cosmos_handler.guardrails.safety_classifier", "SafetyClassifier"),
}


class ContentFilter:
    """Looks at every frame, and ends with the first batch in which one is not safe."""

    name = "content_filter"

    def __init__(self, folder: Path, parts: PlacedParts) -> None:
        """folder: of SigLIP, for how it wants its pictures. Raises OSError where that cannot be read."""
        self._parts = parts
        self._processor = SiglipImageProcessor.from_pretrained(folder, local_files_only=True)

    def check(
        self, frames: NDArray[np.uint8], on_batch: Callable[[int, int], None]
    ) -> tuple[NDArray[np.uint8], Finding]:
        """The frames as they are, and whether they may go out."""
        for begin in range(0, len(frames), FRAMES_PER_BATCH):
            logits = self._logits(frames[begin : begin + FRAMES_PER_BATCH])
            if not torch.isfinite(logits).all():
                return frames, Finding("error", f"the classifier's outputs are not numbers from frame {begin} on")
            labels = logits.argmax(dim=-1).tolist()
            unsafe = [number for number, label in enumerate(labels) if label != SAFE]
            if unsafe:
                found = Counter(LABELS[labels[number]] for number in unsafe)
                listed = ", ".join(sorted(found))
                return frames, Finding("blocked", f"{listed}: first in frame {begin + unsafe[0]} of {len(frames)}")
            on_batch(begin + len(labels), len(frames))
        return frames, Finding("passed", f"{len(frames)} frames looked at")

    @torch.inference_mode()
    def _logits(self, batch: NDArray[np.uint8]) -> torch.Tensor:
        device = self._parts.device
        with self._parts.use((CONTENT_FILTER_PART, CLASSIFIER_PART)) as modules:
            encoder, classifier = modules[CONTENT_FILTER_PART], modules[CLASSIFIER_PART]
            pictures = torch.from_numpy(batch.copy()).to(device).permute(0, 3, 1, 2)
            pixels = self._processor(images=pictures, return_tensors="pt", device=device)["pixel_values"]
            seen = encoder(pixel_values=pixels.to(_dtype(encoder))).pooler_output
            seen = seen / seen.norm(dim=-1, keepdim=True)
            logits: torch.Tensor = classifier(seen.to(_dtype(classifier)))
            return logits.float().cpu()


def _dtype(module: torch.nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype
