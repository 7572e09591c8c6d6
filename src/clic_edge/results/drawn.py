"""What a segmentation draws, as labels on the grid of a volume of the same images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clic_edge.dicom.reading import translated
from clic_edge.errors import Defect
from clic_edge.results.check_seg import SEGMENT, group_of, pixels_of
from clic_edge.results.edited import TOLERANCE_MM, elsewhere, matched_segments, segments_of
from clic_edge.results.source import corners

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.volume import Geometry


def labels_of(
    theirs: Dataset, ours: Dataset, geometry: Geometry, *, numbers: Mapping[str, int]
) -> tuple[NDArray[np.uint8], frozenset[int]]:
    """Return labels (slices, rows, columns), and which numbers the segmentation speaks of.

    `theirs` is `ours`, edited or not; `numbers` gives the label of each Tracking UID of ours.

    Raises
    ------
    Defect
        ``edited-unreadable``; ``edited-elsewhere``: it does not lie on the volume's slices;
        ``edited-overlapping``: a voxel is in two segments; ``edited-unknown``: a segment is none
        of the model's.

    """
    if theirs.get("FrameOfReferenceUID") != ours.get("FrameOfReferenceUID"):
        raise elsewhere()
    with translated("edited-unreadable", "The edited segmentation can't be read."):
        found = {
            number: numbers.get(uid)
            for uid, _, number in matched_segments(segments_of(theirs), segments_of(ours))
        }
        wanted = {number: label for number, label in found.items() if label is not None}
        if wanted.keys() != found.keys():
            raise Defect("edited-unknown", "The edited segmentation has a segment of its own.")
        labels = np.zeros(geometry.shape, np.uint8)
        for number, k, mask in _masks(theirs, geometry):
            label = wanted[number]
            if np.any(labels[k][mask] != 0):
                raise Defect("edited-overlapping", "Two segments of an edit hold the same voxel.")
            labels[k][mask] = label
    labels.flags.writeable = False
    return labels, frozenset(wanted.values())


def _masks(ds: Dataset, geometry: Geometry) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Yield Segment Number, slice and mask of each frame and segment that has a voxel."""
    if (ds.Rows, ds.Columns) != geometry.shape[1:]:
        raise elsewhere()
    half = int(ds.get("MaximumFractionalValue", 1)) / 2
    shared, slices = ds.SharedFunctionalGroupsSequence[0], _slices(geometry)
    for frame, pixels in zip(ds.PerFrameFunctionalGroupsSequence, pixels_of(ds), strict=True):
        if not np.any(pixels):
            continue
        k = _slice(frame, shared, slices, size=(int(ds.Rows), int(ds.Columns)))
        if ds.SegmentationType == "LABELMAP":
            for number in (int(one.SegmentNumber) for one in segments_of(ds)):
                yield number, k, pixels == number
        else:
            number = int(group_of(frame, shared, SEGMENT).ReferencedSegmentNumber)
            yield number, k, np.asarray(pixels, np.uint8) >= half


def _slices(geometry: Geometry) -> NDArray[np.float64]:
    """Return (slices, 3, 3): where the first pixel, the first row and column of each slice end."""
    count, rows, columns = geometry.shape
    places = np.array([[k, *end, 1] for k in range(count) for end in _ends(rows, columns)])
    found: NDArray[np.float64] = (places @ geometry.affine.T)[:, :3].reshape(count, 3, 3)
    return found


def _ends(rows: int, columns: int) -> tuple[tuple[int, int], ...]:
    return (0, 0), (0, columns - 1), (rows - 1, 0)


def _slice(
    frame: Dataset, shared: Dataset, slices: NDArray[np.float64], *, size: tuple[int, int]
) -> int:
    lies = corners(
        group_of(frame, shared, "PlanePositionSequence").ImagePositionPatient,
        group_of(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient,
        group_of(frame, shared, "PixelMeasuresSequence").PixelSpacing,
        size=size,
    )
    distances = np.linalg.norm(slices - lies, axis=2).max(axis=1)
    nearest = int(distances.argmin())
    if distances[nearest] > TOLERANCE_MM:
        raise elsewhere()
    return nearest
