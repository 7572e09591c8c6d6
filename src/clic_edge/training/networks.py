"""A recipe's network: built, wrapped as it is exported, and filled with a parent's weights."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import onnx
import torch
from google.protobuf.message import DecodeError
from monai.networks import nets
from monai.networks.nets.dynunet import DynUNet
from torch import nn

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clic_edge.training.recipe import Network

SMALL_UNET = "small-unet"
_FIRST_SPATIAL = 2
_AXES = "xyz"
_WRONG = (
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    AssertionError,
    RuntimeError,
    ImportError,
)
"""What MONAI raises of arguments that don't fit."""


class Logarithmic(nn.Module):
    """A network that sees the logarithm: what counts is how often one value is another."""

    def __init__(self, unet: nn.Module, scale: float) -> None:
        super().__init__()
        self.unet = unet
        self.scale = scale

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits for windows (n, 1, x, y, z)."""
        logits: torch.Tensor = self.unet(torch.log1p(image.clamp_min(0) * self.scale))
        return logits


class Mirrored(nn.Module):
    """The mean of what a network says of a window and of its mirror images."""

    def __init__(self, network: nn.Module, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.mirrors = [
            list(some) for count in range(1, len(axes) + 1) for some in combinations(axes, count)
        ]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits as the network's, less chance in them."""
        total: torch.Tensor = self.network(image)
        for axes in self.mirrors:
            total = total + self.network(image.flip(axes)).flip(axes)
        return total / (1 + len(self.mirrors))


def build_network(asked: Network, classes: int) -> nn.Module:
    """Return the network with random weights: (n, 1, x, y, z) to logits (n, classes, x, y, z).

    Raises ConfigError ``training-network``: there is none of that name, or an argument is not its.
    """
    known: dict[str, Callable[..., nn.Module]] = {SMALL_UNET: small_unet}
    theirs = getattr(nets, asked.name, None)
    if isinstance(theirs, type) and issubclass(theirs, nn.Module):
        known[asked.name] = theirs
    if asked.name not in known:
        raise ConfigError(
            "training-network",
            f"MONAI has no network {asked.name}; name one of monai.networks.nets, or {SMALL_UNET}.",
        )
    arguments = {"spatial_dims": 3, "in_channels": 1, "out_channels": classes}
    try:
        network = known[asked.name](**arguments, **asked.arguments)
    except _WRONG as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            "training-network", f"The network {asked.name} can't be made of its arguments: {reason}"
        ) from error
    return Logarithmic(network, asked.logarithm) if asked.logarithm else network


def as_exported(network: nn.Module, asked: Network) -> nn.Module:
    """Return the network as the package runs it, with the same weights."""
    axes = tuple(_AXES.index(axis) + _FIRST_SPATIAL for axis in asked.mirrored)
    return (Mirrored(network, axes) if axes else network).eval()


def fill_from_onnx(exported: nn.Module, path: Path) -> None:
    """Give a network the weights of the ONNX file that one of the same architecture became.

    Weights keep their names on the way to ONNX. Whether the two answer the same is for the caller
    to prove. Raises ConfigError ``training-parent-weights``: they are not the same network.
    """
    try:
        stored = {one.name: one for one in onnx.load(path).graph.initializer}
    except (DecodeError, OSError, ValueError) as error:
        raise ConfigError("training-parent-weights", f"{path} is no ONNX file.") from error
    own: dict[str, torch.Tensor] = dict(exported.named_parameters(remove_duplicate=False))
    own |= dict(exported.named_buffers(remove_duplicate=False))
    filled = set()
    with torch.no_grad():
        for name, initializer in stored.items():
            weights = torch.from_numpy(onnx.numpy_helper.to_array(initializer).copy())
            if name in own and own[name].shape == weights.shape:
                own[name].copy_(weights)
                filled.add(id(own[name]))
    # One weight may have several names, of which ONNX keeps one.
    missing = {id(one) for one in exported.parameters()} - filled
    if missing:
        raise ConfigError(
            "training-parent-weights",
            f"{path} lacks {len(missing)} of the weights of the network in training.toml: it is "
            "another network, or they were changed on the way to ONNX; --checkpoint takes those of "
            "the parent's run.",
        )


def small_unet(
    spatial_dims: int, in_channels: int, out_channels: int, *, filters: list[int]
) -> nn.Module:
    """Return a U-Net with one level for each number of filters, each half as fine as the last."""
    strides = [1] + [2] * (len(filters) - 1)
    network: nn.Module = DynUNet(
        spatial_dims=spatial_dims,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=[3] * len(filters),
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=filters,
        norm_name="instance",
    )
    return network
