"""Write the averaged weights of the last checkpoint as the package's network.

Usage: ``python models/hippocampus/export.py [build/hippocampus/checkpoint.pt]``.
The graph runs the network on the image and on its mirror image and returns the mean: the two
hippocampi mirror each other, so that this is a second opinion at the cost of a second pass.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from network import PATCH, build_network
from torch import nn

from clic_edge.inference.package import write_digests

HERE = Path(__file__).parent
OPSET = 17


class Mirrored(nn.Module):
    """The mean of what `network` says of an image and of its left-right mirror image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits (n, classes, x, y, z) for `image` (n, 1, x, y, z)."""
        return (self.network(image) + self.network(image.flip(2)).flip(2)) / 2


def export(network: nn.Module, path: Path) -> None:
    """Write `network` with its mirror as one ONNX file; any number of windows per pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Mirrored(network).eval(),
            (torch.zeros(1, 1, *PATCH),),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "windows"}, "logits": {0: "windows"}},
        )


def averaged_network(checkpoint: Path) -> nn.Module:
    """Return the network with the averaged weights of a checkpoint."""
    state = torch.load(checkpoint, weights_only=True)["averaged"]
    network = build_network()
    network.load_state_dict(
        {name.removeprefix("module."): w for name, w in state.items() if name != "n_averaged"}
    )
    return network


if __name__ == "__main__":
    named = sys.argv[1:] or ["build/hippocampus/checkpoint.pt"]
    export(averaged_network(Path(named[0])), HERE / "model.onnx")
    print(write_digests(HERE).digest)
