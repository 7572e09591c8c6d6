"""The architecture: several small residual networks, asked of an image and its mirror image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable

SIDE = 28
CHANNELS = 1
CLASSES = 2
WIDTH = 24
MEAN, DEVIATION = 0.33, 0.20
"""Of the training images, whose values go from 0 to 1."""


class Block(nn.Module):
    """Two convolutions beside a shortcut (He et al., ECCV 2016: activation first)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if inputs != outputs else None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features with fewer pixels by `stride`."""
        beside = features if self.shortcut is None else self.shortcut(features)
        changed: torch.Tensor = beside + self.path(features)
        return changed


class Network(nn.Module):
    """One member: 28, 14 and 7 pixels, a mean over what is left, and a linear answer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(CHANNELS, WIDTH, 3, 1, 1),
            Block(WIDTH, WIDTH, 1),
            Block(WIDTH, 2 * WIDTH, 2),
            Block(2 * WIDTH, 4 * WIDTH, 2),
            nn.BatchNorm2d(4 * WIDTH),
            nn.ReLU(),
        )
        self.answer = nn.Sequential(nn.Dropout(0.3), nn.Linear(4 * WIDTH, CLASSES))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits (n, CLASSES) for images from 0 to 1 (n, CHANNELS, SIDE, SIDE)."""
        features = self.body((image - MEAN) / DEVIATION)
        logits: torch.Tensor = self.answer(features.mean((2, 3)))
        return logits


class Ensemble(nn.Module):
    """The mean of what all members say of an image and of its mirror image."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the mean probabilities: logits, for all that follows."""
        seen = views(image)
        said = [member(one).softmax(1) for member in self.members for one in seen]
        return torch.stack(said).mean(0).clamp_min(1e-6).log()


def views(image: torch.Tensor) -> list[torch.Tensor]:
    """Return the image as it is, and mirrored from left to right."""
    return [image, image.flip(3)]
