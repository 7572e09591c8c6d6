"""Compare a segmentation, as dcmqi and DCMTK read it back, with the model's mask and grid.

Everything is compared in patient millimetres: a voxel of dcmqi's grid and the voxel of the
model's that it stands for are corners of one affine grid each, so nothing within can lie further
apart than one of the eight corners does. Voxel for voxel the labels are equal (Dice 1).
"""

from __future__ import annotations

import io
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from pydicom.valuerep import DSfloat

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.dcmqi import reread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.volume import Geometry
    from clic_edge.results.dcmqi import LabelVolume, Reread
    from clic_edge.results.writer import Analysis

TOLERANCE_SHARE, TOLERANCE_MM = 0.1, 0.2
"""How far a plane or a corner may lie from the model's grid, as a share of the distance of slices
and in mm; the smaller one counts. Scanners round positions, and `fit_grid` lets a slice lie half
as far from the grid that it fits."""

VOLUME_TOLERANCE = 1e-3
"""Relative; the size of a voxel is written in decimals."""

HALF_STEP = 0.5 + 1e-3
"""Fractions are rounded to whole steps; probabilities have seven digits."""

READ_BY_DCMTK = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
)
"""What is compressed otherwise is decoded first."""


def check_geometry(ds: Dataset, result: ResultObject, analysis: Analysis) -> None:
    """Return when dcmqi and DCMTK find each voxel of each segment where the model put it.

    `ds` is the result, read.

    Raises
    ------
    Defect
        ``seg-misplaced``: a plane or the grid lies elsewhere; ``seg-differs``: a voxel or a
        segment is another; ``geometry-unproved``: they can't read it.
    Transient, ConfigError
        As `reread` raises.

    """
    geometry = analysis.prediction.geometry
    fractional = result.kind is ResultKind.SEG_FRACTIONAL
    with (
        translated("geometry-unproved", "The segmentation can't be compared in space."),
        reread(result.content, _for_dcmqi(ds, result, geometry), merged=not fractional) as found,
    ):
        _check_planes(found.positions, geometry)
        if fractional:
            _check_fractions(found, analysis)
        else:
            _check_labels(found, analysis)


def _for_dcmqi(ds: Dataset, result: ResultObject, geometry: Geometry) -> bytes:
    """Return the segmentation as dcmqi can read it: not as JPEG, and not leaning."""
    native, leans = ds.file_meta.TransferSyntaxUID in READ_BY_DCMTK, _leans(geometry)
    if native and not leans:
        return result.content
    copy = pydicom.dcmread(io.BytesIO(result.content))
    if not native:
        copy.decompress()
    if leans:
        _straighten(copy)
    buffer = io.BytesIO()
    copy.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _normal(orientation: Iterable[float]) -> NDArray[np.float64]:
    row, column = np.array([float(value) for value in orientation]).reshape(2, 3)
    normal: NDArray[np.float64] = np.cross(row, column)
    return normal / np.linalg.norm(normal)


def _leans(geometry: Geometry) -> bool:
    """Whether the stack is tilted, over its whole depth, by more than a fraction of a pixel."""
    step, normal = geometry.affine[:3, 0], _normal(geometry.affine[:3, [2, 1]].T.ravel())
    aside = np.linalg.norm(step - step @ normal * normal) * geometry.shape[0]
    return bool(aside > min(geometry.spacing_mm[1:]) / 8)


def _straighten(ds: Dataset) -> None:
    """Push each frame along its plane until it stands over the lowest: dcmqi takes no others."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    normal = _normal(shared.PlaneOrientationSequence[0].ImageOrientationPatient)
    planes = [one.PlanePositionSequence[0] for one in ds.PerFrameFunctionalGroupsSequence]
    positions = np.array([one.ImagePositionPatient for one in planes], np.float64)
    lowest = positions[(positions @ normal).argmin()]
    for plane, position in zip(planes, positions, strict=True):
        above = lowest + (position - lowest) @ normal * normal
        plane.ImagePositionPatient = [DSfloat(float(one), auto_format=True) for one in above]


def tolerance_mm(geometry: Geometry) -> float:
    """Return how far a plane or a corner may lie from the model's grid."""
    steps = geometry.spacing_mm[:1] if geometry.in_patient else geometry.spacing_mm[1:]
    return min(TOLERANCE_MM, TOLERANCE_SHARE * min(steps))


def _check_planes(positions: NDArray[np.float64], geometry: Geometry) -> None:
    """Compare each frame's position with the slices of the model's grid."""
    origin, step = geometry.affine[:3, 3], geometry.affine[:3, 0]
    slices = np.rint((positions - origin) @ step / (step @ step)).astype(int)
    off = np.linalg.norm(origin + np.outer(slices, step) - positions, axis=1).max()
    if off > tolerance_mm(geometry) or not _within(slices, geometry):
        raise Defect("seg-misplaced", f"A frame lies {off:.3g} mm from the slices of the mask.")


def _within(slices: NDArray[np.signedinteger], geometry: Geometry) -> bool:
    return bool(slices.min() >= 0 and slices.max() < geometry.shape[0])


def _numbers(found: Reread, analysis: Analysis, expected: set[int]) -> Mapping[int, int]:
    """Return the Segment Number of each of the model's numbers, which must be those expected."""
    own = {
        provenance.tracking_uid(analysis, one.definition): one.definition.number
        for one in analysis.prediction.segments
    }
    numbers = {own.get(uid): number for number, uid in found.segments.items()}
    if numbers.keys() != expected or len(numbers) != len(found.segments):
        raise Defect("seg-differs", "The segmentation has other segments than the model found.")
    return {label: number for label, number in numbers.items() if label is not None}


def _check_labels(found: Reread, analysis: Analysis) -> None:
    """Compare Segment Numbers, voxel for voxel, on the slices of the volume and beyond."""
    prediction = analysis.prediction
    with_voxels = {one.definition.number for one in prediction.segments if one.voxel_count}
    numbers = _numbers(found, analysis, with_voxels)
    if not found.volumes:
        raise Defect("seg-misplaced", "A frame of the segmentation lies beside the others.")
    if len(found.volumes) > 1:
        raise Defect("seg-differs", "Segments overlap where the model's don't.")
    volume = found.volumes[0]
    wanted = np.zeros(np.iinfo(prediction.label_map.dtype).max + 1, volume.voxel_type)
    wanted[list(numbers)] = list(numbers.values())
    slices = _slices(volume, prediction.geometry)
    if any(wanted[plane].any() for plane in np.delete(prediction.label_map, slices, axis=0)):
        raise Defect("seg-differs", "The segmentation ends before the mask does.")
    for k, plane in zip(slices, volume.slices(), strict=True):
        if not np.array_equal(plane, wanted[prediction.label_map[k]]):
            raise Defect("seg-differs", f"The segmentation differs on slice {k + 1}.")


def _check_fractions(found: Reread, analysis: Analysis) -> None:
    """Compare each segment's fractions with its probabilities, to half a step of the fractions."""
    prediction, largest = analysis.prediction, found.largest_fraction or 0
    maps = {
        one.segment: one.values
        for one in prediction.maps
        if one.segment is not None and np.rint(one.values.max() * np.float32(largest)) > 0
    }
    numbers = _numbers(found, analysis, set(maps))
    volumes = {volume.number: volume for volume in found.volumes}
    for label, number in numbers.items():
        if number not in volumes:
            raise Defect("seg-misplaced", "A frame of the segmentation lies beside the others.")
        volume, values = volumes[number], maps[label]
        slices = _slices(volume, prediction.geometry)
        if np.delete(values, slices, axis=0).max(initial=0) * largest > HALF_STEP:
            raise Defect("seg-differs", "The segmentation ends before the probabilities do.")
        for k, plane in zip(slices, volume.slices(), strict=True):
            if np.abs(plane - values[k] * largest).max() > HALF_STEP:
                raise Defect("seg-differs", f"The segmentation differs on slice {k + 1}.")


def _slices(volume: LabelVolume, geometry: Geometry) -> NDArray[np.signedinteger]:
    """Return for each slice of the volume its index in the model's grid; both grids agree."""
    own, normal = geometry.affine, _normal(geometry.affine[:3, [2, 1]].T.ravel())
    between = own[:3, 0] @ normal
    first = int(np.rint((volume.affine[:3, 3] - own[:3, 3]) @ normal / between))
    direction = int(np.sign(volume.affine[:3, 0] @ normal * between))
    expected = own.copy()
    expected[:3, 3] += first * own[:3, 0]
    expected[:3, 0] = direction * between * normal  # straight, as `_for_dcmqi` made it
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in volume.shape))])
    off = np.linalg.norm(((volume.affine - expected) @ corners.T)[:3], axis=0).max()
    slices = first + direction * np.arange(volume.shape[0])
    volumes = np.linalg.det([volume.affine, expected])
    if (
        off > tolerance_mm(geometry)
        or volume.shape[1:] != geometry.shape[1:]
        or not _within(slices, geometry)
        or abs(volumes[0] - volumes[1]) > VOLUME_TOLERANCE * abs(volumes[1])
    ):
        raise Defect("seg-misplaced", f"A corner lies {off:.3g} mm from where the model put it.")
    return slices
