"""Write the trained members as the package's one network.

Usage: ``python models/breast-ultrasound/export.py DATA [--work build/breast-ultrasound]``.
Prints the temperature that fits the validation images best; it stands in ``model.toml``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch
from network import CHANNELS, SIDE, Ensemble, Network
from scipy.optimize import minimize_scalar
from torch.nn import functional
from train import MEMBERS, load

from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from torch import nn

HERE = Path(__file__).parent
OPSET = 17
LARGEST_DIFFERENCE = 1e-3


def trained(work: Path) -> nn.Module:
    """Return all members with their weights."""
    members = []
    for number in range(MEMBERS):
        member = Network()
        member.load_state_dict(torch.load(work / f"member-{number}.pt", weights_only=True))
        members.append(member)
    return Ensemble(members).eval()


def export(network: nn.Module, path: Path) -> None:
    """Write `network` as one ONNX file that takes any number of images at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, CHANNELS, SIDE, SIDE),),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["categories"],
            dynamic_axes={"image": {0: "images"}, "categories": {0: "images"}},
        )


def largest_difference(network: nn.Module, path: Path) -> float:
    """Return how far the file's logits are from the network's, over three random images."""
    images = torch.rand((3, CHANNELS, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(images).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": images.numpy()})
    return float(np.abs(found - expected).max())


def temperature(network: nn.Module, data: Path) -> float:
    """Return what the logits are divided by for the least cross-entropy of validation images."""
    images, labels = load(data, "val")
    with torch.inference_mode():
        logits = network(images)
    found = minimize_scalar(
        lambda t: float(functional.cross_entropy(logits / t, labels)), bounds=(0.2, 5)
    )
    return float(found.x)


def main() -> None:
    """Export as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build") / HERE.name)
    options = parser.parse_args()
    network = trained(options.work)
    export(network, HERE / "model.onnx")
    if (difference := largest_difference(network, HERE / "model.onnx")) > LARGEST_DIFFERENCE:
        sys.exit(f"The file's logits differ by {difference} from the network's.")
    print(
        f"logits differ by at most {difference:.1e}; temperature {temperature(network, options.data):.3f}"
    )
    if (HERE / "model.toml").exists():
        print(f"digest {write_digests(HERE).digest}")


if __name__ == "__main__":
    main()
