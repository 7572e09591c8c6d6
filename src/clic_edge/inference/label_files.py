"""A label map that came in a file, brought onto the volume's own grid, or not believed.

NIfTI may have its axes in any order and direction; DICOM SEG its frames (PS3.3 A.51).
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Image
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, SegmentationStorage

from clic_edge.errors import Defect
from clic_edge.inference.volume_files import LPS_TO_RAS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.volume import Geometry

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage."""
SAME_PLACE = 1e-2
"""Of a voxel."""
_LARGEST_HEADER = 64 << 20
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    ArithmeticError,
    RuntimeError,
    zlib.error,
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    InvalidDicomError,
    BytesLengthException,
    struct.error,
)


def read_labels(folder: Path, geometry: Geometry, *, segments: int) -> NDArray[np.uint8]:
    """Return the label map that a model left in `folder`, on the volume's own grid.

    A segmentation in DICOM goes before NIfTI; of several NIfTI, the one with ``seg`` in its name.

    Raises
    ------
    Defect
        ``application-output``: none, more than one, or one that can't be read; ``runtime-grid``:
        it does not lie on the volume's grid; ``runtime-labels``: a value that no segment has;
        ``network-not-finite``.

    """
    path, is_dicom = _only(folder)
    if path.stat().st_size > _LARGEST_HEADER + 8 * segments * math.prod(geometry.shape):
        raise Defect("application-output", "The application's result is far too large.")
    try:
        values = (
            _of_seg(path, geometry, segments=segments) if is_dicom else _of_nifti(path, geometry)
        )
    except _BROKEN as error:
        raise Defect("application-output", "The application's result can't be read.") from error
    if not np.isfinite(values).all():
        raise Defect("network-not-finite", "The application found values that are no numbers.")
    if (values != np.rint(values)).any() or values.min() < 0 or values.max() > segments:
        raise Defect("runtime-labels", f"The application's labels are not of 0 to {segments}.")
    return values.astype(np.uint8)


def _only(folder: Path) -> tuple[Path, bool]:
    """Return the file with the result, and whether it is DICOM."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    segmentations = [path for path in files if path.suffix == ".dcm" and _is_seg(path)]
    images = [path for path in files if path.name.endswith((".nii", ".nii.gz"))]
    named = [path for path in images if "seg" in path.name.lower()]
    found = segmentations or (images if len(images) == 1 else named)
    if len(found) != 1:
        raise Defect(
            "application-output",
            f"The application left {len(found)} segmentations; one is needed, DICOM SEG or NIfTI.",
        )
    return found[0], bool(segmentations)


def _is_seg(path: Path) -> bool:
    try:
        if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            return False  # some bytes of it would fill the memory
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    except _BROKEN:
        return False
    return header.get("SOPClassUID") in {SegmentationStorage, LABEL_MAP_STORAGE}


def _of_nifti(path: Path, geometry: Geometry) -> NDArray[np.float64]:
    """Return the values with their axes turned as the volume's lie."""
    image = Nifti1Image.from_filename(path)
    towards = np.linalg.inv(LPS_TO_RAS @ geometry.affine) @ image.affine
    axes = np.abs(towards[:3, :3]).argmax(axis=1)
    signs = np.sign(towards[range(3), axes])
    shape = tuple(image.shape[axis] for axis in axes)
    turned = np.zeros((4, 4))
    turned[range(3), axes] = signs
    turned[:3, 3] = np.where(signs < 0, np.array(shape) - 1, 0)
    turned[3, 3] = 1
    if shape != geometry.shape or not np.allclose(towards, turned, atol=SAME_PLACE):
        raise _elsewhere()
    values = np.asarray(image.dataobj, np.float64).reshape(image.shape[:3]).transpose(axes)
    return values[tuple(slice(None, None, -1 if sign < 0 else 1) for sign in signs)]


def _of_seg(path: Path, geometry: Geometry, *, segments: int) -> NDArray[np.float64]:
    """Return the number of the segment of each voxel; where two meet, the one of a later frame."""
    seg = pydicom.dcmread(path)
    if (seg.Rows, seg.Columns) != geometry.shape[1:]:
        raise _elsewhere()
    if int(seg.get("NumberOfFrames", 1)) > segments * geometry.shape[0]:
        raise Defect("application-output", "The application's result has far too many frames.")
    pixels = seg.pixel_array.reshape(-1, *geometry.shape[1:])
    values = np.zeros(geometry.shape, np.float64)
    for index, number, frame in _frames(seg, geometry):
        if number is None:
            values[index] = pixels[frame]
        else:
            values[index][pixels[frame] >= _threshold(seg)] = number
    return values


def _threshold(seg: Dataset) -> float:
    fractional = seg.SegmentationType == "FRACTIONAL"
    return float(seg.MaximumFractionalValue) / 2 if fractional else 1.0


def _frames(seg: Dataset, geometry: Geometry) -> Iterator[tuple[int, int | None, int]]:
    """Yield slice, number of the segment (None: the pixels say it) and place of each frame."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    for place, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        position = group.PlanePositionSequence[0].ImagePositionPatient
        orientation = _either(shared, group, "PlaneOrientationSequence").ImageOrientationPatient
        spacing = _either(shared, group, "PixelMeasuresSequence").PixelSpacing
        index = _slice(geometry, position, orientation=orientation, spacing=spacing)
        of_segment = group.get("SegmentIdentificationSequence")
        labelled = seg.SegmentationType == "LABELMAP"
        yield index, None if labelled else of_segment[0].ReferencedSegmentNumber, place


def _either(shared: Dataset, group: Dataset, name: str) -> Dataset:
    found: Dataset = (group.get(name) or shared[name].value)[0]
    return found


def _slice(
    geometry: Geometry, position: list[float], *, orientation: list[float], spacing: list[float]
) -> int:
    """Return which slice of the volume a frame lies on. Raises Defect where it lies on none."""
    inverse = np.linalg.inv(geometry.affine)
    along_columns, along_rows = np.array(orientation[:3], float), np.array(orientation[3:], float)
    steps = np.stack([along_rows * float(spacing[0]), along_columns * float(spacing[1])], axis=1)
    first = inverse @ (*map(float, position), 1.0)
    index = int(np.rint(first[0]))
    on_grid = np.allclose(first[:3], (index, 0, 0), atol=SAME_PLACE) and np.allclose(
        inverse[:3, :3] @ steps, np.eye(3)[:, 1:], atol=SAME_PLACE
    )
    if not on_grid or not 0 <= index < geometry.shape[0]:
        raise _elsewhere()
    return index


def _elsewhere() -> Defect:
    return Defect("runtime-grid", "The application's result does not lie on the volume's grid.")
