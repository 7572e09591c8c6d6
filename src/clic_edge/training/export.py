"""From torch to ONNX, and the proof that the two answer the same."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch

from clic_edge.errors import Defect
from clic_edge.inference.onnx import OnnxNetwork
from clic_edge.training.looking import TorchNetwork

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

OPSET = 17
LARGEST_DIFFERENCE = 1e-3
"""Of two logits; a probability then differs by less than a thousandth."""


def write_onnx(network: nn.Module, path: Path, shape: tuple[int, int, int]) -> None:
    """Write a network as one ONNX file that takes any number of windows of `shape` at once.

    Nothing is folded together, so that every weight keeps its name and the way back is open; the
    runtime does that anyway when it loads the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that keeps the weights' names is the old one
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 1, *shape),),
            path,
            dynamo=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "windows"}, "logits": {0: "windows"}},
        )


def largest_difference(network: nn.Module, path: Path, windows: NDArray[np.float32]) -> float:
    """Return how far ONNX Runtime's logits are from torch's, over windows (n, 1, x, y, z).

    Raises
    ------
    Defect
        ``export-differs``: by more than `LARGEST_DIFFERENCE`, or one is no number.

    """
    ours, theirs = OnnxNetwork(path), TorchNetwork(network, "cpu")
    difference = max(
        float(np.abs(ours(window[None]) - theirs(window[None])).max()) for window in windows
    )
    if not difference <= LARGEST_DIFFERENCE:  # also where it is no number
        raise Defect(
            "export-differs",
            f"The ONNX file's logits differ by {difference:.2g} from those of torch on "
            f"{len(windows)} patches; {LARGEST_DIFFERENCE:g} is allowed. Nothing was packaged.",
        )
    return difference
