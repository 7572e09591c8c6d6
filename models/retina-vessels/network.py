"""The architecture: a small 2-D U-Net that sees a vessel against what is around it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

SIDE = 768
"""Both sides of the square that a photograph is fitted into."""
FILTERS = (16, 32, 64, 96)
SURROUNDING = 33
"""Side of the square whose mean is the background of a pixel."""
CONTRAST = 4
MIRRORS = ((2,), (3,), (2, 3))


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for count in (inputs, outputs):
        layers += [
            nn.Conv2d(count, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class Network(nn.Module):
    """A U-Net on the photograph and its local contrast."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        count = 6
        for filters in FILTERS:
            self.down.append(_twice(count, filters))
            count = filters
        self.up, self.join = nn.ModuleList(), nn.ModuleList()
        for deep, shallow in zip(FILTERS[:0:-1], FILTERS[-2::-1], strict=True):
            self.up.append(nn.ConvTranspose2d(deep, shallow, 2, stride=2))
            self.join.append(_twice(2 * shallow, shallow))
        self.head = nn.Conv2d(FILTERS[0], 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 2, y, x) for RGB from 0 to 1 (n, 3, y, x); sides divide by 8."""
        pad = SURROUNDING // 2
        around = functional.avg_pool2d(
            image, SURROUNDING, stride=1, padding=pad, count_include_pad=False
        )
        features = torch.cat([image - 0.5, (image - around) * CONTRAST], 1)
        kept = []
        for level, stage in enumerate(self.down):
            features = stage(functional.max_pool2d(features, 2) if level else features)
            kept.append(features)
        for up, join, beside in zip(self.up, self.join, kept[-2::-1], strict=True):
            features = join(torch.cat([up(features), beside], 1))
        logits: torch.Tensor = self.head(features)
        return logits


class Mirrored(nn.Module):
    """The mean of what a network says of a photograph and of its mirror images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits as the network's, less chance in them."""
        total = self.network(image)
        for axes in MIRRORS:
            total = total + self.network(image.flip(axes)).flip(axes)
        mean: torch.Tensor = total / (1 + len(MIRRORS))
        return mean
