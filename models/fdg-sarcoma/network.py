"""The architecture: a small 3-D U-Net that sees 160 x 160 x 160 mm at once."""

from __future__ import annotations

import torch
from monai.networks.nets import DynUNet
from torch import nn

PATCH = (32, 32, 40)
CLASSES = 2
FILTERS = (16, 32, 64, 96)
MIRRORS = ((2,), (3,), (4,), (2, 3), (2, 4), (3, 4), (2, 3, 4))
SUV_OF_ONE = 20
"""The SUV that the declared steps make to 1."""


class Network(nn.Module):
    """A U-Net on the logarithm of SUV: what counts is how often one tissue is another."""

    def __init__(self) -> None:
        super().__init__()
        levels = len(FILTERS)
        strides = [1] + [2] * (levels - 1)
        self.unet = DynUNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=CLASSES,
            kernel_size=[3] * levels,
            strides=strides,
            upsample_kernel_size=strides[1:],
            filters=FILTERS,
            norm_name="instance",
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits (n, CLASSES, *PATCH) for windows (n, 1, *PATCH)."""
        logits: torch.Tensor = self.unet(torch.log1p(image.clamp_min(0) * SUV_OF_ONE))
        return logits


class Mirrored(nn.Module):
    """The mean of what a network says of a window and of its mirror images along all axes."""

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


def build_network() -> nn.Module:
    """Return the network with random weights."""
    return Network()
