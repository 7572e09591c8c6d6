"""A model package for the phantom: two small convolutions that know the organs by their HU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from phantom import MUSCLE_HU, ORGANS, SLICE_STEP_MM, STORED_AT_ZERO_HU

from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from phantom import Phantom

CHANNELS = 8
OVERLAP = 0.25
_LOW, _HIGH = 0.5, 99.5
_SHIFT = 100.0
"""Added before the ReLU, so that nothing is lost there."""

_HEAD = """\
id = "phantom"
version = "1"
title = "Organs of a phantom"
manufacturer = "clic-edge"
intended_use = "benchmarks"
limits = []
licence = "Apache-2.0"
weights = "model.onnx"

[input]
modality = "CT"
orientation = "LPS"
spacing_mm = [{spacing}, {spacing}, {step}]
source_spacing_mm = [0.1, 10.0]
smallest_mm = [1, 1, 1]
largest_mm = [900, 900, 900]
largest_tilt_deg = 20

[[input.intensity]]
step = "clip-percentiles"
low = {low}
high = {high}

[[input.intensity]]
step = "z-score"

[window]
shape = [{patch}, {patch}, {patch}]
overlap = {overlap}
batch = 1
"""

_SEGMENT = """
[[segments]]
number = {number}
name = "{key}"
label = "{name}"
category = {{ value = "123037004", scheme = "SCT", meaning = "Anatomical Structure" }}
property_type = {{ value = "{code}", scheme = "SCT", meaning = "{name}" }}
"""


def write_package(folder: Path, phantom: Phantom, *, patch: int) -> None:
    """Write a package that finds the organs, in windows of `patch` voxels at half the resolution."""
    folder.mkdir(parents=True)
    head = _HEAD.format(
        spacing=2 * phantom.pixel_spacing_mm,
        step=SLICE_STEP_MM,
        low=_LOW,
        high=_HIGH,
        patch=patch,
        overlap=OVERLAP,
    )
    segments = (
        _SEGMENT.format(number=number, key=organ.name.lower(), name=organ.name, code=organ.code)
        for number, organ in enumerate(ORGANS, start=1)
    )
    (folder / "model.toml").write_text(head + "".join(segments))
    (folder / "model.onnx").write_bytes(_network(_levels(phantom)))
    write_digests(folder)


def _levels(phantom: Phantom) -> NDArray[np.float64]:
    """Return the intensities of background and organs as the network sees them, normalised."""
    hu = phantom.voxels[::2, ::2, ::2].astype(float) - STORED_AT_ZERO_HU
    hu = np.clip(hu, *np.percentile(hu, (_LOW, _HIGH)))
    levels = np.array([MUSCLE_HU, *(organ.hu for organ in ORGANS)])
    normalised: NDArray[np.float64] = (levels - hu.mean()) / hu.std()
    return normalised


def _network(levels: NDArray[np.float64]) -> bytes:
    """Return the network: a weighted mean over 27 voxels in each channel, then the nearest level.

    The nearest of the levels c to a value v is where ``2 c v - c^2`` is greatest.
    """
    mean = np.full((CHANNELS, 1, 3, 3, 3), 0.2 / 26)
    mean[:, :, 1, 1, 1] = 0.8
    slopes = np.repeat(2 * levels[:, None] / CHANNELS, CHANNELS, axis=1)[:, :, None, None, None]
    offsets = -(levels**2) - 2 * levels * _SHIFT
    arrays = {"mean": mean, "shift": np.full(CHANNELS, _SHIFT), "slopes": slopes, "at0": offsets}
    shape = ("x", "y", "z")
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        [
            # Zeros beyond the border would be taken for tissue.
            helper.make_node("Pad", ["image", "border"], ["padded"], mode="edge"),
            helper.make_node("Conv", ["padded", "mean", "shift"], ["means"]),
            helper.make_node("Relu", ["means"], ["positive"]),
            helper.make_node("Conv", ["positive", "slopes", "at0"], ["logits"]),
        ],
        "phantom",
        [helper.make_tensor_value_info("image", floats, ["n", 1, *shape])],
        [helper.make_tensor_value_info("logits", floats, ["n", len(levels), *shape])],
        [
            numpy_helper.from_array(np.array([0, 0, 1, 1, 1] * 2), "border"),
            *(numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
