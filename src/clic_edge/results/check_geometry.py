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

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.dcmqi import reread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.prediction import Prediction
    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.volume import Geometry
    from clic_edge.results.dcmqi import LabelVolume, Reread
    from clic_edge.results.writer import Analysis

TOLERANCE_VOXELS = 0.45
"""How far a plane or a corner may lie from the model's, along each axis of its grid. Scanners
round positions and a grid is fitted to them; a flip or a shift is half a voxel at least."""

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
    prediction = analysis.prediction
    fractional = result.kind is ResultKind.SEG_FRACTIONAL
    with (
        translated("geometry-unproved", "The segmentation can't be compared in space."),
        reread(_for_dcmtk(ds, result), merged=not fractional) as found,
    ):
        numbers = _numbers(found, analysis)
        occupied = _occupied(prediction, numbers)
        _check_planes(found.positions, prediction.geometry, occupied)
        if fractional:
            for volume in found.volumes:
                _check_values(volume, prediction, numbers, largest=found.largest_fraction or 0)
        elif len(found.volumes) == 1:
            _check_labels(found.volumes[0], prediction, numbers, occupied=occupied)
        else:
            raise Defect("seg-differs", "Segments overlap where the model's don't.")


def _for_dcmtk(ds: Dataset, result: ResultObject) -> bytes:
    """Return the segmentation in a transfer syntax that DCMTK reads."""
    if ds.file_meta.TransferSyntaxUID in READ_BY_DCMTK:
        return result.content
    native = pydicom.dcmread(io.BytesIO(result.content))
    native.decompress()
    buffer = io.BytesIO()
    native.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _numbers(found: Reread, analysis: Analysis) -> Mapping[int, int]:
    """Return the model's number of each Segment Number; no segment with voxels is missing."""
    findings = {
        provenance.tracking_uid(analysis, one.definition): one
        for one in analysis.prediction.segments
    }
    with_voxels = {uid for uid, one in findings.items() if one.voxel_count}
    told = {number: uid for number, uid in found.segments.items() if number}
    if not with_voxels <= set(told.values()) <= findings.keys() or len({*told.values()}) != len(
        told
    ):
        raise Defect("seg-differs", "The segmentation has other segments than the model found.")
    return {number: findings[uid].definition.number for number, uid in told.items()}


def _occupied(prediction: Prediction, numbers: Mapping[int, int]) -> NDArray[np.bool_]:
    """Return for each slice whether it holds a voxel of a segment."""
    kept = np.zeros(256, np.bool_)
    kept[list(numbers.values())] = True
    return np.array([kept[plane].any() for plane in prediction.label_map])


def _check_planes(
    positions: NDArray[np.float64], geometry: Geometry, occupied: NDArray[np.bool_]
) -> None:
    """Compare each frame's position with the slices of the model's grid."""
    places = (positions - geometry.affine[:3, 3]) @ np.linalg.inv(geometry.affine[:3, :3]).T
    slices = np.rint(places[:, 0]).astype(int)
    places[:, 0] -= slices
    if np.abs(places).max() > TOLERANCE_VOXELS or not _within(slices, geometry):
        raise Defect("seg-misplaced", "A frame of the segmentation lies on none of the slices.")
    if not set(np.flatnonzero(occupied)) <= set(slices):
        raise Defect("seg-differs", "A slice on which the model found something has no frame.")


def _within(slices: NDArray[np.signedinteger], geometry: Geometry) -> bool:
    return bool(slices.min() >= 0 and slices.max() < geometry.shape[0])


def _check_labels(
    volume: LabelVolume,
    prediction: Prediction,
    numbers: Mapping[int, int],
    *,
    occupied: NDArray[np.bool_],
) -> None:
    """Compare Segment Numbers, voxel for voxel, on the slices of the volume and beyond."""
    wanted = np.zeros(256, volume.voxel_type)
    for number, own in numbers.items():
        wanted[own] = number
    slices = _slices(volume, prediction.geometry)
    if not set(np.flatnonzero(occupied)) <= set(slices):
        raise Defect("seg-differs", "The segmentation ends before the mask does.")
    for k, plane in zip(slices, volume.slices(), strict=True):
        if not np.array_equal(plane, wanted[prediction.label_map[k]]):
            raise Defect("seg-differs", f"The segmentation differs on slice {k + 1}.")


def _check_values(
    volume: LabelVolume, prediction: Prediction, numbers: Mapping[int, int], *, largest: int
) -> None:
    """Compare a segment's fractions with its probabilities, to half a step of the fractions."""
    own = numbers.get(volume.number)
    values = next((one.values for one in prediction.maps if one.segment == own), None)
    if own is None or values is None:
        raise Defect("seg-differs", "The segmentation has fractions that the model didn't give.")
    slices = _slices(volume, prediction.geometry)
    beyond = np.delete(values, slices, axis=0)
    if beyond.max(initial=0) * largest > HALF_STEP:
        raise Defect("seg-differs", "The segmentation ends before the probabilities do.")
    for k, plane in zip(slices, volume.slices(), strict=True):
        if np.abs(plane - values[k] * largest).max() > HALF_STEP:
            raise Defect("seg-differs", f"The segmentation differs on slice {k + 1}.")


def _slices(volume: LabelVolume, geometry: Geometry) -> NDArray[np.signedinteger]:
    """Return for each slice of the volume its index in the model's grid; both grids agree."""
    own, normal = geometry.affine, np.cross(geometry.affine[:3, 2], geometry.affine[:3, 1])
    normal /= np.linalg.norm(normal)
    between = own[:3, 0] @ normal
    first = int(np.rint((volume.affine[:3, 3] - own[:3, 3]) @ normal / between))
    direction = int(np.sign(volume.affine[:3, 0] @ normal * between))
    expected = own.copy()
    expected[:3, 3] += first * own[:3, 0]
    expected[:3, 0] = direction * between * normal  # dcmqi straightens a tilted stack
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in volume.shape))])
    off = np.linalg.solve(own[:3, :3], ((volume.affine - expected) @ corners.T)[:3])
    slices = first + direction * np.arange(volume.shape[0])
    volumes = np.linalg.det([volume.affine, expected])
    if (
        np.abs(off).max() > TOLERANCE_VOXELS
        or volume.shape[1:] != geometry.shape[1:]
        or not _within(slices, geometry)
        or abs(volumes[0] - volumes[1]) > VOLUME_TOLERANCE * abs(volumes[1])
    ):
        raise Defect("seg-misplaced", "The segmentation doesn't lie where the model put it.")
    return slices
