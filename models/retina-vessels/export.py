"""Write the averaged weights of the last checkpoint as the package's network.

Usage: ``python models/retina-vessels/export.py [build/retina-vessels/checkpoint.pt]``.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch
from network import SIDE, Mirrored, Network

from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from torch import nn

HERE = Path(__file__).parent
OPSET = 17
LARGEST_DIFFERENCE = 1e-3


def export(network: nn.Module, path: Path) -> None:
    """Write `network` as one ONNX file that takes any number of photographs at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, SIDE, SIDE),),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["segments"],
            dynamic_axes={"image": {0: "images"}, "segments": {0: "images"}},
        )


def averaged_network(checkpoint: Path) -> nn.Module:
    """Return the network with the averaged weights of a checkpoint, mirrored."""
    state = torch.load(checkpoint, weights_only=True)["averaged"]
    network = Network()
    network.load_state_dict(
        {name.removeprefix("module."): w for name, w in state.items() if name != "n_averaged"}
    )
    return Mirrored(network).eval()


def largest_difference(network: nn.Module, path: Path) -> float:
    """Return how far the file's logits are from the network's, over two random images."""
    images = torch.rand((2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(images).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": images.numpy()})
    return float(np.abs(found - expected).max())


if __name__ == "__main__":
    named = sys.argv[1:] or ["build/retina-vessels/checkpoint.pt"]
    averaged = averaged_network(Path(named[0]))
    export(averaged, HERE / "model.onnx")
    if (difference := largest_difference(averaged, HERE / "model.onnx")) > LARGEST_DIFFERENCE:
        sys.exit(f"The file's logits differ by {difference} from the network's.")
    print(f"logits differ by at most {difference:.1e}")
    if (HERE / "model.toml").exists():
        print(f"digest {write_digests(HERE).digest}")
