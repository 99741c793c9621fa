"""NVIDIA's classifier of what SigLIP sees in a frame."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

# In the order of its outputs.
LABELS = ("Safe", "Sexual_Content", "Violence", "Drugs", "Child_Abuse", "Hate_and_Harassment", "Self-Harm")
SAFE = LABELS.index("Safe")


class SafetyClassifier(nn.Module):
    """Three layers, under the tensor names of NVIDIA's `safety_filter.pt`; the widths are those of the weights."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raises KeyError for a tensor that is not there."""
        super().__init__()
        first, second, last = (shapes[f"network.layers.{n}.weight"] for n in (0, 3, 6))
        self.network = nn.Module()
        self.network.layers = nn.Sequential(
            nn.Linear(first[1], first[0]),
            nn.BatchNorm1d(first[0]),
            nn.ReLU(),
            nn.Linear(first[0], second[0]),
            nn.BatchNorm1d(second[0]),
            nn.ReLU(),
            nn.Linear(second[0], last[0]),
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "SafetyClassifier":
        """As the loader of files in NVIDIA's own form wants it."""
        return cls({name: tuple(shape) for name, shape in config["shapes"].items()})

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings of length 1 [N, width] → logits [N, labels]."""
        layers: Any = self.network.layers
        logits: torch.Tensor = layers(embeddings)
        return logits
