"""Write the averaged weights of the last checkpoint as the package's network.

Usage: ``python models/fdg-sarcoma/export.py [build/fdg-sarcoma/checkpoint.pt]``.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch
from network import PATCH, Mirrored, build_network

from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from torch import nn

HERE = Path(__file__).parent
OPSET = 17
LARGEST_DIFFERENCE = 1e-3


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
    """Return the network with the averaged weights of a checkpoint, mirrored."""
    state = torch.load(checkpoint, weights_only=True)["averaged"]
    network = build_network()
    network.load_state_dict(
        {name.removeprefix("module."): w for name, w in state.items() if name != "n_averaged"}
    )
    return Mirrored(network).eval()


def largest_difference(network: nn.Module, path: Path) -> float:
    """Return how far the file's logits are from the network's, over three random windows."""
    windows = torch.rand((3, 1, *PATCH), generator=torch.Generator().manual_seed(0)) ** 3
    with torch.inference_mode():
        expected = network(windows).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": windows.numpy()})
    return float(np.abs(found - expected).max())


if __name__ == "__main__":
    named = sys.argv[1:] or ["build/fdg-sarcoma/checkpoint.pt"]
    averaged = averaged_network(Path(named[0]))
    export(averaged, HERE / "model.onnx")
    if (difference := largest_difference(averaged, HERE / "model.onnx")) > LARGEST_DIFFERENCE:
        sys.exit(f"The file's logits differ by {difference} from the network's.")
    print(f"logits differ by at most {difference:.1e}; digest {write_digests(HERE).digest}")
