"""RetinaFace with a ResNet body: finds faces, under the tensor names of the published `Resnet50_Final.pth`.

Every width is read from the weights, so that smaller networks of the same form load as well. The landmarks that the
published file has a head for are not wanted here.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Shapes = Mapping[str, tuple[int, ...]]

LEVELS = 3  # of the pyramid: where one cell is 8, 16 and 32 pixels wide


class RetinaFace(nn.Module):
    """Pixels in, boxes and scores out: one of each for every anchor."""

    def __init__(self, shapes: Shapes) -> None:
        """shapes: of the tensors in the file. Raises KeyError for one that is not there."""
        super().__init__()
        self.body = _Body(shapes)
        self.fpn = _Pyramid(shapes)
        width = shapes["fpn.output1.0.weight"][0]
        self.ssh1, self.ssh2, self.ssh3 = (_ContextModule(width) for _ in range(LEVELS))
        self.ClassHead = nn.ModuleList(_Head(shapes[f"ClassHead.{n}.conv1x1.weight"], values=2) for n in range(LEVELS))
        self.BboxHead = nn.ModuleList(_Head(shapes[f"BboxHead.{n}.conv1x1.weight"], values=4) for n in range(LEVELS))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "RetinaFace":
        """As the loader of files in NVIDIA's own form wants it."""
        return cls({name: tuple(shape) for name, shape in config["shapes"].items()})

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[N, 3, H, W] → offsets [N, anchors, 4] and the probability of a face [N, anchors].

        pixels: BGR, 0 to 255, less the mean that the network was trained with.
        """
        levels = self.fpn(self.body(pixels))
        looks = [module(level) for module, level in zip((self.ssh1, self.ssh2, self.ssh3), levels, strict=True)]
        offsets = torch.cat([head(look) for head, look in zip(self.BboxHead, looks, strict=True)], dim=1)
        logits = torch.cat([head(look) for head, look in zip(self.ClassHead, looks, strict=True)], dim=1)
        return offsets, torch.softmax(logits, dim=-1)[..., 1]


class _Body(nn.Module):
    """A ResNet without its classifier; gives what its last three stages see."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        width = shapes["body.conv1.weight"][0]
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(shapes, "body.layer1", stride=1)
        self.layer2 = _stage(shapes, "body.layer2", stride=2)
        self.layer3 = _stage(shapes, "body.layer3", stride=2)
        self.layer4 = _stage(shapes, "body.layer4", stride=2)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        hidden = functional.relu(self.bn1(self.conv1(pixels)))
        hidden = self.layer1(functional.max_pool2d(hidden, 3, stride=2, padding=1))
        levels = []
        for stage in (self.layer2, self.layer3, self.layer4):
            hidden = stage(hidden)
            levels.append(hidden)
        return levels


def _stage(shapes: Shapes, name: str, *, stride: int) -> nn.Sequential:
    blocks: list[nn.Module] = []
    while f"{name}.{len(blocks)}.conv1.weight" in shapes:
        block = f"{name}.{len(blocks)}"
        blocks.append(_Bottleneck(shapes, block, stride=1 if blocks else stride))
    if not blocks:
        raise KeyError(f"{name}.0.conv1.weight")
    return nn.Sequential(*blocks)


class _Bottleneck(nn.Module):
    def __init__(self, shapes: Shapes, name: str, *, stride: int) -> None:
        super().__init__()
        narrow, wide_in = shapes[f"{name}.conv1.weight"][:2]
        wide_out = shapes[f"{name}.conv3.weight"][0]
        self.conv1 = nn.Conv2d(wide_in, narrow, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, wide_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide_out)
        self.downsample = (
            nn.Sequential(nn.Conv2d(wide_in, wide_out, 1, stride=stride, bias=False), nn.BatchNorm2d(wide_out))
            if f"{name}.downsample.0.weight" in shapes
            else None
        )

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        shortcut = hidden if self.downsample is None else self.downsample(hidden)
        hidden = functional.relu(self.bn1(self.conv1(hidden)))
        hidden = functional.relu(self.bn2(self.conv2(hidden)))
        return functional.relu(self.bn3(self.conv3(hidden)) + shortcut)


class _Pyramid(nn.Module):
    """Brings the three stages to one width, and what the coarse ones see down to the fine ones."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        sizes = [shapes[f"fpn.output{n + 1}.0.weight"] for n in range(LEVELS)]
        self.output1, self.output2, self.output3 = (_conv(size[1], size[0], kernel=1) for size in sizes)
        width = sizes[0][0]
        self.merge1, self.merge2 = (_conv(width, width, kernel=3) for _ in range(2))

    def forward(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        fine, middle, coarse = (
            functional.relu(output(level))
            for output, level in zip((self.output1, self.output2, self.output3), levels, strict=True)
        )
        middle = functional.relu(self.merge2(middle + functional.interpolate(coarse, size=middle.shape[-2:])))
        fine = functional.relu(self.merge1(fine + functional.interpolate(middle, size=fine.shape[-2:])))
        return [fine, middle, coarse]


class _ContextModule(nn.Module):
    """Looks at 3, 5 and 7 cells around each. The odd spelling of the last name is the file's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv3X3 = _conv(width, width // 2, kernel=3)
        self.conv5X5_1 = _conv(width, width // 4, kernel=3)
        self.conv5X5_2 = _conv(width // 4, width // 4, kernel=3)
        self.conv7X7_2 = _conv(width // 4, width // 4, kernel=3)
        self.conv7x7_3 = _conv(width // 4, width // 4, kernel=3)

    def forward(self, level: torch.Tensor) -> torch.Tensor:
        narrow = functional.relu(self.conv5X5_1(level))
        wide = self.conv7x7_3(functional.relu(self.conv7X7_2(narrow)))
        return functional.relu(torch.cat([self.conv3X3(level), self.conv5X5_2(narrow), wide], dim=1))


class _Head(nn.Module):
    """Some values for each anchor of each cell."""

    def __init__(self, shape: tuple[int, ...], *, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(shape[1], shape[0], 1)

    def forward(self, look: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv1x1(look)
        return found.permute(0, 2, 3, 1).reshape(len(look), -1, self.values)


def _conv(wide_in: int, wide_out: int, *, kernel: int) -> nn.Sequential:
    # A slope below zero is for necks of 64 channels and fewer in the published code; those of a ResNet-50 have 256.
    return nn.Sequential(
        nn.Conv2d(wide_in, wide_out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(wide_out)
    )
