"""MONAI Application Packages, laid out as the packager lays out their containers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BRIGHTNESS = '''
"""Reads one NIfTI file, tells levels of brightness apart, and writes NIfTI."""
import json
import os
from pathlib import Path

import numpy as np
import nibabel

read, write = (Path(os.environ[f"HOLOSCAN_{way}_PATH"]) for way in ("INPUT", "OUTPUT"))
model = json.loads((Path(os.environ["HOLOSCAN_MODEL_PATH"]) / "brightness" / "model.json").read_text())
(path,) = read.glob("*.nii.gz")
image = nibabel.load(path)
values = np.asarray(image.dataobj, np.float64)
scores = (values - values.mean()) / values.std()
logits = np.multiply.outer(model["slopes"], scores)
logits += np.reshape(model["biases"], (-1, 1, 1, 1))
found = logits.argmax(axis=0) + 0 * logits.sum(axis=0)
# As much software does, it turns the axes to its own liking and says so in the affine.
turned = image.affine @ np.array([[0, 0, -1, values.shape[0] - 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
found = np.transpose(found, (1, 2, 0))[:, :, ::-1]
nibabel.save(nibabel.Nifti1Image(found.astype(np.float32), turned), write / "labels_seg.nii.gz")
'''
HIPPOCAMPUS = '''
"""Reads a DICOM series, runs the network of the hippocampus in ONNX, writes a DICOM SEG."""
import os
import sys
from pathlib import Path

import highdicom
import numpy as np
import onnxruntime
import pydicom
from pydicom.sr.codedict import codes

sys.path.insert(0, os.environ["HOLOSCAN_APPLICATION"])
read, write, models = (
    Path(os.environ[f"HOLOSCAN_{name}_PATH"]) for name in ("INPUT", "OUTPUT", "MODEL")
)
series = [pydicom.dcmread(path) for path in sorted(read.glob("*.dcm"))]
voxels = np.stack([one.pixel_array * float(one.RescaleSlope) for one in series]).astype(np.float32)
voxels += float(series[0].RescaleIntercept)
low, high = np.percentile(voxels, (0.5, 99.5))
clipped = np.clip(voxels, low, high)
image = ((clipped - clipped.mean()) / clipped.std()).astype(np.float32)
# From (slices, rows, columns) to right, anterior, superior, as axial slices from foot to head lie.
image = image.transpose(2, 1, 0)[::-1, ::-1]
session = onnxruntime.InferenceSession(models / "hippocampus" / "model.onnx")
window = session.get_inputs()[0].shape[2:]
missing = [max(want - have, 0) for want, have in zip(window, image.shape)]
pads = [(n // 2, n - n // 2) for n in missing]
(logits,) = session.run(None, {session.get_inputs()[0].name: np.pad(image, pads)[None, None]})
inside = tuple(slice(a, a + n) for (a, _), n in zip(pads, image.shape))
labels = logits[0].argmax(axis=0).astype(np.uint8)[inside][::-1, ::-1].transpose(2, 1, 0)
segments = [
    highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Hippocampus,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="hippocampus", version="1", family=codes.DCM.ArtificialIntelligence
        ),
    )
    for number, name in ((1, "anterior"), (2, "posterior"))
]
highdicom.seg.Segmentation(
    source_images=series,
    pixel_array=labels,
    segmentation_type="BINARY",
    segment_descriptions=segments,
    series_instance_uid=highdicom.UID(),
    series_number=2,
    sop_instance_uid=highdicom.UID(),
    instance_number=1,
    manufacturer="Phantom Works",
    manufacturer_model_name="hippocampus",
    software_versions="1",
    device_serial_number="1",
).save_as(write / "result.dcm")
'''


def write_application(
    root: Path, script: str, *, formats: list[object], timeout: int = 60, **app: object
) -> Path:
    """Lay an application out under `root`; its models are for the caller to add."""
    for name in ("etc/holoscan", "opt/holoscan/app", "opt/holoscan/models", "var/holoscan"):
        (root / name).mkdir(parents=True)
    (root / "opt/holoscan/app/__main__.py").write_text(script)
    (root / "var/holoscan/app.yaml").write_text("application:\n  title: Phantom\n")
    paths = {
        "HOLOSCAN_APPLICATION": "/opt/holoscan/app",
        "HOLOSCAN_INPUT_PATH": "input/",
        "HOLOSCAN_OUTPUT_PATH": "output/",
        "HOLOSCAN_WORKDIR": "/var/holoscan",
        "HOLOSCAN_MODEL_PATH": "/opt/holoscan/models",
        "HOLOSCAN_CONFIG_PATH": "/var/holoscan/app.yaml",
        "HOLOSCAN_APP_MANIFEST_PATH": "/etc/holoscan/app.json",
        "HOLOSCAN_PKG_MANIFEST_PATH": "/etc/holoscan/pkg.json",
    }
    manifest = {
        "apiVersion": "1.0.0",
        "command": '["python3", "/opt/holoscan/app"]',
        "environment": paths,
        "input": {"path": "input/", "formats": formats},
        "output": {"path": "output/", "formats": None},
        "readiness": None,
        "liveness": None,
        "timeout": timeout,
        "version": "1.0.0",
        "workingDirectory": "/var/holoscan",
        "sdk": "monai-deploy",
        "sdkVersion": "3.0.0",
    }
    package = {
        "apiVersion": "1.0.0",
        "applicationRoot": "/opt/holoscan/app",
        "modelRoot": "/opt/holoscan/models",
        "models": {},
        "resources": {"cpu": 1, "gpu": 0, "memory": "1Gi"},
        "version": "1.0.0",
        "platformConfig": "cpu",
    }
    (root / "etc/holoscan/app.json").write_text(json.dumps(manifest | app))
    (root / "etc/holoscan/pkg.json").write_text(json.dumps(package))
    return root
