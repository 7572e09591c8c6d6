"""Write the averaged weights of the last checkpoint as the package's network.

Usage: ``python models/hippocampus/export.py [build/hippocampus/checkpoint.pt]``.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from network import PATCH, build_network

from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from torch import nn

HERE = Path(__file__).parent
OPSET = 17


def export(network: nn.Module, path: Path) -> None:
    """Write `network` as one ONNX file that takes any number of windows at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
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
