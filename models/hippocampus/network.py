"""The architecture: a small 3-D U-Net that sees 40x56x40 voxels of 1 mm at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai.networks.nets import DynUNet

if TYPE_CHECKING:
    from torch import nn

PATCH = (40, 56, 40)
CLASSES = 3
FILTERS = (16, 32, 64, 128)


def build_network() -> nn.Module:
    """Return the network: (n, 1, *PATCH) to logits (n, CLASSES, *PATCH)."""
    levels = len(FILTERS)
    strides = [1] + [2] * (levels - 1)
    return DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=CLASSES,
        kernel_size=[3] * levels,
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=FILTERS,
        norm_name="instance",
    )
