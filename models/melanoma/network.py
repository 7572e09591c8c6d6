"""The architecture: small residual networks of which each also says where it looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterable

SIDE = 112
"""Both sides of the image that the package takes."""
CUT = 96
"""Both sides of what a member sees: the middle of it."""
WIDTH = 24
MEAN, SHARPNESS = 0.6, 4
"""Skin is bright, and lesions differ little from it."""
MINKOWSKI = 6
"""Norm that estimates the light's colour (Shades of Grey: Finlayson & Trezzi, CIC 2004)."""


def without_light(image: torch.Tensor) -> torch.Tensor:
    """Return images (n, 3, y, x) from 0 to 1 as if the light had been white."""
    light = image.pow(MINKOWSKI).mean((2, 3), keepdim=True).clamp_min(1e-12).pow(1 / MINKOWSKI)
    return (image * light.mean(1, keepdim=True) / light).clamp(0, 1)


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features with fewer pixels by `stride`."""
        return functional.relu(self.shortcut(features) + self.path(features))


class Network(nn.Module):
    """One member: an eighth of the pixels, each with its say; the answer is their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, WIDTH, 5, 2, 2, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            Block(WIDTH, WIDTH, 1),
            Block(WIDTH, 2 * WIDTH, 2),
            Block(2 * WIDTH, 4 * WIDTH, 2),
            Block(4 * WIDTH, 4 * WIDTH, 1),
        )
        self.dropout = nn.Dropout(0.3)
        self.answer = nn.Linear(4 * WIDTH, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logit of melanoma (n,) for images in white light (n, 3, CUT, CUT)."""
        features = self._features(image)
        logits: torch.Tensor = self.answer(self.dropout(features.mean((2, 3))))[:, 0]
        return logits

    def say(self, image: torch.Tensor) -> torch.Tensor:
        """Return how each place speaks for melanoma (n, 1, CUT / 8, CUT / 8): class activation.

        The mean over the places is the logit (Zhou et al., CVPR 2016).
        """
        weights = self.answer.weight[:, :, None, None]
        return functional.conv2d(self._features(image), weights, self.answer.bias)

    def _features(self, image: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.body((image - MEAN) * SHARPNESS)
        return features


class Ensemble(nn.Module):
    """The mean of what all members say of an image, of its turns and its mirror images."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (n, 2) of other and melanoma, and the heat map (n, 1, SIDE / 8, SIDE / 8).

        `image` has RGB from 0 to 1 (n, 3, SIDE, SIDE).
        """
        edge = (SIDE - CUT) // 2
        seen = without_light(image)[:, :, edge : edge + CUT, edge : edge + CUT]
        heat = torch.stack([say for member in self.members for say in views(member, seen)]).mean(0)
        logit = heat.mean((2, 3))
        around = edge // 8
        return (
            torch.cat([torch.zeros_like(logit), logit], 1),
            functional.pad(heat, (around, around, around, around)),
        )


def views(member: nn.Module, seen: torch.Tensor) -> list[torch.Tensor]:
    """Return what a member says of the eight ways in which a square can lie, turned back."""
    said = [member.say(seen), member.say(seen.transpose(2, 3)).transpose(2, 3)]
    for axes in ((2,), (3,), (2, 3)):
        said.append(member.say(seen.flip(axes)).flip(axes))
        said.append(member.say(seen.transpose(2, 3).flip(axes)).flip(axes).transpose(2, 3))
    return said
