"""The guardrails' eyes: SigLIP's vision model, and RetinaFace."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.memory.shapes.values import FLOAT_BYTES, value_bytes
from cosmos_handler.memory.sheet import Work

# How many frames the checks look at together.
# SigLIP makes 729 tokens of a frame, of whatever size; eight of them take about 0.2 GB beside the weights.
SIGLIP_FRAMES = 8
# Four frames of 1280 x 704, for which the first layers take about 1 GB in float32; of smaller ones, so many at most.
FACE_PIXELS = 4 * 1280 * 704
FACE_FRAMES = 16


@dataclass(frozen=True)
class Siglip:
    """The vision model of SigLIP, on a few frames at a time."""

    width: int
    layers: int
    mlp_width: int
    pixels: int
    patch: int
    value_bytes: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dtype: str) -> "Siglip":
        """By config.json; what it leaves out is as the library's class has it."""
        own = config.get("vision_config", config)
        return cls(
            width=own.get("hidden_size", 768),
            layers=own.get("num_hidden_layers", 12),
            mlp_width=own.get("intermediate_size", 3072),
            pixels=own.get("image_size", 224),
            patch=own.get("patch_size", 16),
            value_bytes=value_bytes(dtype),
        )

    @property
    def tokens(self) -> int:
        """Of one frame."""
        return (self.pixels // self.patch) ** 2

    def look_bytes(self, frames: int, height: int, width: int) -> int:
        """The most that one batch has alive, its frames included."""
        batch = min(frames, SIGLIP_FRAMES)
        pictures = batch * 3 * height * width
        small = batch * 3 * self.pixels**2
        # Stacked once more, and in float32 while they are made smaller.
        preparing = pictures * (2 + FLOAT_BYTES) + 2 * small * FLOAT_BYTES
        unit = batch * self.tokens * self.width * self.value_bytes
        wide = batch * self.tokens * self.mlp_width * self.value_bytes
        half = small * self.value_bytes if self.value_bytes < FLOAT_BYTES else 0
        thinking = small * FLOAT_BYTES + half + max(4 * unit + 2 * wide, 8 * unit)
        return max(preparing, pictures + thinking)

    def look_work(self, frames: int) -> Work:
        """Operations for all frames."""
        layer = self.width * (4 * self.width + 2 * self.mlp_width)
        attention = 4.0 * self.layers * self.width * self.tokens**2
        return Work(2.0 * frames * self.tokens * self.layers * layer, frames * attention)


@dataclass(frozen=True)
class RetinaFace:
    """By the shapes of its weights: how wide the first layer is, and each stage's blocks."""

    first_width: int
    stages: tuple[tuple[int, int, int], ...]  # blocks, width inside, width outside
    out_width: int
    value_bytes: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dtype: str) -> "RetinaFace":
        """By the shapes of the tensors, which are all the configuration that it has."""
        shapes = config["shapes"]
        stages = []
        for stage in range(1, 5):
            blocks = 0
            while f"body.layer{stage}.{blocks}.conv1.weight" in shapes:
                blocks += 1
            inside = shapes[f"body.layer{stage}.0.conv1.weight"][0]
            stages.append((blocks, inside, shapes[f"body.layer{stage}.0.conv3.weight"][0]))
        return cls(
            first_width=shapes["body.conv1.weight"][0],
            stages=tuple(stages),
            out_width=shapes["fpn.output1.0.weight"][0],
            value_bytes=value_bytes(dtype),
        )

    def look_bytes(self, frames: int, height: int, width: int) -> int:
        """The most that one batch has alive, its frames included."""
        batch = min(frames, max(1, min(FACE_FRAMES, FACE_PIXELS // (height * width))))
        pixels = batch * height * width
        entering = pixels * 3 * (1 + 2 * FLOAT_BYTES)
        first = pixels / 4 * self.first_width * self.value_bytes
        _, inside, outside = self.stages[0]
        # The first layer's output keeps a name while the first stage works on what is a quarter of it.
        peak = first * 1.25 + pixels / 16 * self.value_bytes * (3 * outside + inside)
        side, kept = 64, 0.0
        for _, inside, outside in self.stages[1:]:
            kept += pixels / side * outside * self.value_bytes
            peak = max(peak, 2 * kept + pixels / side * self.value_bytes * (8 * inside + 3 * outside))
            side *= 4
        pyramid = kept + pixels / 64 * 1.4 * 5 * self.out_width * self.value_bytes
        anchors = pixels / 64 * 1.4 * 2 * (4 + 2) * FLOAT_BYTES / batch
        boxes = 6 * pixels / 64 * 1.4 * 2 * (4 + 2) * FLOAT_BYTES
        return int(max(entering, pixels * 3 * self.value_bytes + anchors + max(peak, pyramid, boxes)))

    def look_work(self, frames: int, height: int, width: int) -> Work:
        """Operations for all frames."""
        pixels = frames * height * width
        values = pixels / 4 * 3 * 49 * self.first_width
        side, before = 16, self.first_width
        for blocks, inside, outside in self.stages:
            place = pixels / side
            values += place * (before * inside + before * outside + 9 * inside**2 + inside * outside)
            values += place * (blocks - 1) * (2 * inside * outside + 9 * inside**2)
            side, before = side * 4, outside
        wide = self.out_width
        values += pixels / 64 * 1.4 * (9 * wide * wide * 5 + wide * self.stages[2][2])
        return Work(2.0 * values)
