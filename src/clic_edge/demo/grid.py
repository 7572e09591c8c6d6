"""A series and a segmentation of it on one grid, turned towards right, anterior and superior.

Everything is placed by the geometry that the files themselves state, nothing by index: so the
picture would show a segmentation that was written to the wrong place.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from scipy.optimize import linear_sum_assignment

from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

ScalarT = TypeVar("ScalarT", bound=np.generic)
_LPS_TO_RAS = np.array([[-1], [-1], [1]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A grey image with labels; all axes run towards right, anterior and superior."""

    grey: NDArray[np.float32] = field(repr=False)
    """Shape (x, y, z)."""
    labels: NDArray[np.uint8] = field(repr=False)
    """The segment number of each voxel, 0 for none; shape as `grey`."""
    spacing_mm: tuple[float, float, float]

    @property
    def size_mm(self) -> tuple[float, float, float]:
        """How far the image reaches along each axis."""
        x, y, z = np.array(self.grey.shape) * self.spacing_mm
        return float(x), float(y), float(z)

    @property
    def centre(self) -> tuple[int, int, int]:
        """The voxel in the middle of all that is labelled, or of the image if nothing is."""
        labelled = np.argwhere(self.labels)
        middle = labelled.mean(axis=0) if len(labelled) else np.array(self.labels.shape) / 2
        x, y, z = np.rint(middle).astype(int)
        return int(x), int(y), int(z)


def read(paths: Sequence[Path]) -> tuple[Dataset, ...]:
    """Return the datasets of those files that are DICOM."""
    return tuple(ds for path in paths if (ds := _read(path)) is not None)


def read_series(paths: Sequence[Path], series_instance_uid: str) -> tuple[Dataset, ...]:
    """Return the datasets of one series among files that may also be something else."""
    return read(
        [
            path
            for path in paths
            if (header := _read(path, header_only=True)) is not None
            and header.get("SeriesInstanceUID") == series_instance_uid
        ]
    )


def _read(path: Path, *, header_only: bool = False) -> Dataset | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        try:
            return pydicom.dcmread(path, stop_before_pixels=header_only)
        except InvalidDicomError:
            return None


def overlay(source: Sequence[Dataset], seg: Dataset) -> Overlay:
    """Return one series, classic or enhanced, with the segments of a SEG of it.

    Raises
    ------
    Refusal
        ``no-volume``: fewer than two slices of the series are like the segmentation's.

    """
    planes = _stack(source, next(_planes(seg)))
    if len(planes) < 2:  # noqa: PLR2004 - the distance between slices needs two
        raise Refusal("no-volume", "The series has fewer than two slices like the segmentation's.")
    affine = _affine(planes)
    grey = np.stack([plane.pixels for plane in planes]).astype(np.float32)
    labels = np.zeros(grey.shape, dtype=np.uint8)
    to_voxel = np.linalg.inv(affine).astype(np.float64)
    for plane in _planes(seg):
        _paint(labels, plane, to_voxel)
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0)[list(_axes(affine)[0])]
    return Overlay(
        grey=_turned(grey, affine),
        labels=_turned(labels, affine),
        spacing_mm=(float(x), float(y), float(z)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plane:
    """One frame, and where it lies in the patient (PS3.3 C.7.6.2.1.1, millimetres in LPS)."""

    pixels: NDArray[np.generic]
    segment: int
    origin: NDArray[np.float64]
    right: NDArray[np.float64]
    """From one column to the next."""
    down: NDArray[np.float64]
    """From one row to the next."""

    @property
    def normal(self) -> NDArray[np.float64]:
        across = np.cross(self.right, self.down)
        return across / np.linalg.norm(across)

    @property
    def height_mm(self) -> float:
        return round(float(self.origin @ self.normal), 3)

    def is_like(self, other: _Plane) -> bool:
        """Whether both lie parallel and are of one size."""
        parallel = np.allclose(self.normal, other.normal, atol=1e-3)
        return parallel and self.pixels.shape == other.pixels.shape


def _stack(source: Sequence[Dataset], like: _Plane) -> tuple[_Plane, ...]:
    """Return one plane for each height: of a 4-D series the first, of a localizer one direction."""
    planes: dict[float, _Plane] = {}
    for plane in (plane for ds in source for plane in _planes(ds)):
        if plane.is_like(like):
            planes.setdefault(plane.height_mm, plane)
    return tuple(planes[height] for height in sorted(planes))


_WHERE: Final = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")


def _planes(ds: Dataset) -> Iterator[_Plane]:
    frames = ds.get("PerFrameFunctionalGroupsSequence")
    if frames is None:
        yield _plane((ds, ds, ds), ds.pixel_array)
        return
    shared = ds.SharedFunctionalGroupsSequence[0]
    pixels = ds.pixel_array.reshape(len(frames), ds.Rows, ds.Columns)
    for groups, frame in zip(frames, pixels, strict=True):
        where = tuple((groups if name in groups else shared)[name][0] for name in _WHERE)
        segment = groups.get("SegmentIdentificationSequence")
        number = segment[0].ReferencedSegmentNumber if segment else 0
        yield _plane(where, frame, number)


def _plane(where: tuple[Dataset, ...], pixels: NDArray[np.generic], segment: int = 0) -> _Plane:
    position, orientation, measures = where
    row, column = np.array(orientation.ImageOrientationPatient, dtype=float).reshape(2, 3)
    between_rows, between_columns = measures.PixelSpacing
    return _Plane(
        pixels=pixels,
        segment=segment,
        origin=np.array(position.ImagePositionPatient, dtype=float),
        right=row * between_columns,
        down=column * between_rows,
    )


def _affine(planes: Sequence[_Plane]) -> NDArray[np.float64]:
    """Return (slice, row, column, 1) to patient millimetres in LPS, for sorted planes."""
    first, last = planes[0], planes[-1]
    affine = np.eye(4)
    affine[:3, 0] = (last.origin - first.origin) / (len(planes) - 1)
    affine[:3, 1], affine[:3, 2], affine[:3, 3] = first.down, first.right, first.origin
    return affine


def _paint(labels: NDArray[np.uint8], plane: _Plane, to_voxel: NDArray[np.float64]) -> None:
    rows, columns = np.nonzero(plane.pixels)
    places = plane.origin + np.outer(rows, plane.down) + np.outer(columns, plane.right)
    voxels = np.rint(places @ to_voxel[:3, :3].T + to_voxel[:3, 3]).astype(int)
    inside = ((voxels >= 0) & (voxels < labels.shape)).all(axis=1)
    labels[tuple(voxels[inside].T)] = plane.segment


def _axes(affine: NDArray[np.float64]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return which axes run most along x, y and z, and which of these run the wrong way."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0) * _LPS_TO_RAS
    _, order = linear_sum_assignment(-np.abs(directions))
    against = np.flatnonzero(directions[range(3), order] < 0)
    return tuple(order.tolist()), tuple(against.tolist())


def _turned(array: NDArray[ScalarT], affine: NDArray[np.float64]) -> NDArray[ScalarT]:
    order, against = _axes(affine)
    turned = np.flip(array.transpose(order), against)
    turned.flags.writeable = False
    return turned
