"""Write the trained members as the package's one network, with its heat map.

Usage: ``python models/melanoma/export.py DATA [--work build/melanoma]``.
Prints what stands in ``model.toml``: the temperature that fits best what each member said of the
images that it had not learned from, and the threshold that finds nine of ten melanomas there.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import torch
from cases import fold_of, load, split_cases
from network import SIDE, Ensemble
from scipy.optimize import minimize_scalar
from scipy.special import expit
from train import MEMBERS, logits_of, trained

from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from torch import nn

HERE = Path(__file__).parent
OPSET = 17
LARGEST_DIFFERENCE = 5e-3
"""Weights are kept in half precision, so that the members fit into few megabytes."""
FOUND = 0.9


def export(network: nn.Module, path: Path) -> None:
    """Write `network` as one ONNX file that takes any number of images at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, SIDE, SIDE),),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["categories", "evidence"],
            dynamic_axes={one: {0: "images"} for one in ("image", "categories", "evidence")},
        )
    halve_weights(path)


def halve_weights(path: Path) -> None:
    """Keep large weights in half precision; they are made single again before they are used."""
    model = onnx.load(path)
    for weights in list(model.graph.initializer):
        values = onnx.numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.ndim > 1 and values.size > 1000:  # noqa: PLR2004 - large
            half = onnx.numpy_helper.from_array(values.astype(np.float16), f"{weights.name}.half")
            cast = onnx.helper.make_node(
                "Cast", [half.name], [weights.name], to=onnx.TensorProto.FLOAT
            )
            model.graph.initializer.remove(weights)
            model.graph.initializer.append(half)
            model.graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def largest_difference(network: nn.Module, path: Path) -> float:
    """Return how far the file's outputs are from the network's, over two random images."""
    images = torch.rand((2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = [one.numpy() for one in network(images)]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": images.numpy()})
    return max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))


def calibrated(data: Path, work: Path) -> tuple[float, float]:
    """Return temperature and threshold, by what members said of images they had not seen."""
    known = load(data, split_cases(data)["train"])
    parts = []
    for number in range(MEMBERS):
        _, judged = fold_of(known.labels.numpy(), number)
        member = trained(work, number)
        parts.append((known.labels.numpy()[judged], logits_of(member, known.of(judged))))
    labels, logits = (np.concatenate(one) for one in zip(*parts, strict=True))

    def loss(divisor: float) -> float:
        return float(np.logaddexp(0, np.where(labels, -1, 1) * logits / divisor).mean())

    divisor = float(minimize_scalar(loss, bounds=(0.1, 10)).x)
    threshold = np.quantile(expit(logits[labels == 1] / divisor), 1 - FOUND)
    return divisor, float(threshold)


def main() -> None:
    """Export as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/melanoma"))
    options = parser.parse_args()
    network = Ensemble(trained(options.work, number) for number in range(MEMBERS)).eval()
    export(network, HERE / "model.onnx")
    if (difference := largest_difference(network, HERE / "model.onnx")) > LARGEST_DIFFERENCE:
        sys.exit(f"The file's outputs differ by {difference} from the network's.")
    divisor, threshold = calibrated(options.data, options.work)
    print(f"outputs differ by at most {difference:.1e}")
    print(f"temperature {divisor:.3f}, threshold {threshold:.3f}")
    if (HERE / "model.toml").exists():
        print(f"digest {write_digests(HERE).digest}")


if __name__ == "__main__":
    main()
