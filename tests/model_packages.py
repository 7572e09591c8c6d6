"""A model package made in code: its network thinks in brightness, so its answer is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from clic_edge.domain.image import Image
from clic_edge.domain.volume import Acquisition, Geometry, SliceSource, Volume
from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TOML = """
id = "brightness"
version = "0.1"
title = "Brightness"
manufacturer = "Phantom Works"
intended_use = "tests"
limits = []
licence = "Apache-2.0"
weights = "model.onnx"

[input]
modality = "MR"
orientation = "RAS"
spacing_mm = [1, 1, 1]
source_spacing_mm = [0.5, 2.0]
smallest_mm = [4, 4, 4]
largest_mm = [40, 40, 40]
largest_tilt_deg = 20

[[input.intensity]]
step = "clip-percentiles"
low = 0
high = 100

[[input.intensity]]
step = "z-score"

[window]
shape = [8, 8, 8]
overlap = 0.5
batch = 2

[[segments]]
number = 1
name = "grey"
label = "Grey"
category = { value = "123037004", scheme = "SCT", meaning = "Anatomical Structure" }
property_type = { value = "5366008", scheme = "SCT", meaning = "Hippocampus" }

[[segments]]
number = 2
name = "white"
label = "White"
category = { value = "123037004", scheme = "SCT", meaning = "Anatomical Structure" }
property_type = { value = "5366008", scheme = "SCT", meaning = "Hippocampus" }
"""

LEVELS = (0, 100, 500)
"""Intensities that the network takes for background, grey and white."""


def write_package(
    folder: Path, *, toml: str = TOML, slopes: tuple[float, ...] = (0, 10, 30)
) -> Path:
    """Return `folder` holding a package; logits are ``slope * z + (0, 0, -40)`` of intensity z."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    count = len(slopes)
    weight = np.array(slopes, np.float32).reshape(count, 1, 1, 1, 1)
    bias = np.array([0, 0, -40][:count], np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight", "bias"], ["logits"])],
        "brightness",
        [helper.make_tensor_value_info("image", floats, ["n", 1, "x", "y", "z"])],
        [helper.make_tensor_value_info("logits", floats, ["n", count, "x", "y", "z"])],
        [
            onnx.numpy_helper.from_array(weight, "weight"),
            onnx.numpy_helper.from_array(bias, "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.toml").write_text(toml)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    write_digests(folder)
    return folder


IMAGE_TOML = """
id = "redness"
version = "0.1"
title = "Redness"
manufacturer = "Phantom Works"
intended_use = "tests"
limits = []
licence = "Apache-2.0"
weights = "model.onnx"

[image]
modalities = ["XC", "OP"]
channels = 3
size = [16, 24]
fit = "pad"
sampling = "area"
smallest = [8, 8]

[[image.intensity]]
step = "range"
low = 0
high = 255

[[image.intensity]]
step = "normalise"
mean = [0.5, 0.5, 0.5]
deviation = [0.5, 0.5, 0.5]

[[questions]]
concept = { value = "363713009", scheme = "SCT", meaning = "Has interpretation" }
activation = "softmax"
temperature = 2.0

[[questions.categories]]
name = "benign"
label = "Benign"
value = { value = "30807003", scheme = "SCT", meaning = "Benign" }

[[questions.categories]]
name = "malignant"
label = "Malignant"
value = { value = "21594007", scheme = "SCT", meaning = "Malignant" }
threshold = 0.4

[[questions]]
concept = { value = "246112005", scheme = "SCT", meaning = "Severity" }
activation = "ordinal"

[[questions.categories]]
name = "none"
label = "None"
value = { value = "260413007", scheme = "SCT", meaning = "None" }

[[questions.categories]]
name = "mild"
label = "Mild"
value = { value = "255604002", scheme = "SCT", meaning = "Mild" }

[[questions.categories]]
name = "severe"
label = "Severe"
value = { value = "24484000", scheme = "SCT", meaning = "Severe" }

[[maps]]
name = "redness"
label = "Redness of the skin"
kind = "class-activation"
category = "malignant"

[[segments]]
number = 1
name = "red"
label = "Red"
category = { value = "49755003", scheme = "SCT", meaning = "Morphologically abnormal structure" }
property_type = { value = "52988006", scheme = "SCT", meaning = "Lesion" }
"""
"""Every output that a package for images can have; see `write_image_package`."""


def write_image_package(
    folder: Path, *, toml: str = IMAGE_TOML, logits: slice = slice(None)
) -> Path:
    """Return `folder` holding a package that sees how red an image is, from -1 to 1 of each pixel.

    With m the mean over the image, the logits are (0, 4 m) for malignant, and (2 m + 1, 2 m - 1)
    for being worse than none and than mild; `logits` are those that the network gives. A pixel
    redder than 0 is of the segment.
    """
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    constants = {
        "red": np.array([1, 0, 0], np.float32).reshape(1, 3, 1, 1),
        "slopes": np.array([[0, 4, 2, 2]], np.float32)[:, logits],
        "offsets": np.array([0, 0, 1, -1], np.float32)[logits],
        "sharpness": np.array([0, 20], np.float32).reshape(2, 1, 1, 1),
    }
    nodes = [
        helper.make_node("Conv", ["image", "red"], ["redness"]),
        helper.make_node("GlobalAveragePool", ["redness"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "slopes", "offsets"], ["categories"]),
        helper.make_node("Conv", ["redness", "sharpness"], ["segments"]),
    ]
    answers = constants["offsets"].size
    shapes = {
        "categories": ["n", answers],
        "segments": ["n", 2, 16, 24],
        "redness": ["n", 1, 16, 24],
    }
    graph = helper.make_graph(
        nodes,
        "redness",
        [helper.make_tensor_value_info("image", floats, ["n", 3, 16, 24])],
        [helper.make_tensor_value_info(name, floats, shapes[name]) for name in shapes],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.toml").write_text(toml)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    write_digests(folder)
    return folder


def image_of(
    red: NDArray[np.bool_], *, modality: str = "XC", spacing: tuple[float, float] | None = None
) -> Image:
    """Return a photograph that is red where `red` says so, and blue elsewhere."""
    pixels = np.zeros((*red.shape, 3), np.uint8)
    pixels[red, 0], pixels[~red, 2] = 255, 255
    pixels.flags.writeable = False
    return Image(
        pixels=pixels,
        pixel_spacing_mm=spacing,
        source=SliceSource(instance_index=0, frame_number=1),
        acquisition=Acquisition(modality=modality),
        subject_id="subject",
        series_uid="2.25.1",
    )


def known_labels(shape: tuple[int, int, int] = (10, 12, 14)) -> NDArray[np.uint8]:
    """Return a label map with a grey and a white box in it, at no symmetrical place."""
    labels = np.zeros(shape, np.uint8)
    labels[2:8, 1:9, 3:9] = 1
    labels[4:7, 3:8, 9:13] = 2
    return labels


def volume_of(
    labels: NDArray[np.uint8],
    *,
    affine: NDArray[np.float64] | None = None,
    modality: str = "MR",
) -> Volume:
    """Return the volume in which the brightness network sees `labels`."""
    voxels = np.array(LEVELS, np.int16)[labels]
    affine = np.eye(4)[[2, 1, 0, 3]] if affine is None else affine
    voxels.flags.writeable = False
    affine.flags.writeable = False
    return Volume(
        voxels=voxels,
        geometry=Geometry(affine=affine, shape=voxels.shape),
        slices=tuple(SliceSource(instance_index=i, frame_number=1) for i in range(len(voxels))),
        acquisition=Acquisition(modality=modality),
        subject_id="subject",
        series_uid="2.25.1",
    )
