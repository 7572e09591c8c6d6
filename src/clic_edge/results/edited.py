"""Compare a segmentation that a reader has edited with the one that we wrote, segment by segment."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from clic_edge.dicom.reading import translated
from clic_edge.errors import Defect
from clic_edge.results.check_seg import BACKGROUND, SEGMENT, group_of, pixels_of
from clic_edge.results.source import corners

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

TOLERANCE_MM = 0.05
"""How far planes of one image may lie apart, as two programs write them."""
ADDED = -1
"""Stands for the Segment Number of what we have not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedSegment:
    """One segment, as the reader left it."""

    tracking_uid: str
    """Ours; empty for a segment that the reader added."""
    was_empty: bool
    """Whether we had found nothing there."""
    dice: float
    """Overlap with ours, 0 to 1; 1 where both are empty."""
    is_empty: bool
    """Whether the reader has left nothing there."""
    volume_mm3: float | None
    """None of an image that lies nowhere in space."""


def is_version_of(theirs: Dataset, ours: Dataset) -> bool:
    """Whether a segmentation is ours, edited: it has our tracking UIDs, or our labels and images.

    Another program's contours on the same images are none of our business: what another algorithm
    made is no reader's word, whatever it is called.
    """
    if theirs.get("SOPInstanceUID") == ours.SOPInstanceUID:
        return False
    own, other = segments_of(ours), segments_of(theirs)
    if {one.get("TrackingUID") for one in other} & {one.TrackingUID for one in own}:
        return True
    labels = {one.get("SegmentLabel") for one in other}
    known = {one.SegmentLabel for one in own}
    makers = {one.get("SegmentAlgorithmName", "") for one in own}
    foreign = any(
        one.get("SegmentAlgorithmType") == "AUTOMATIC"
        and one.get("SegmentAlgorithmName", "") not in makers
        for one in other
    )
    same_images = bool(_sources(theirs) & _sources(ours))
    return bool(labels) and labels <= known and same_images and not foreign


def compare(theirs: Dataset, ours: Dataset) -> tuple[EditedSegment, ...]:
    """Return each segment of the reader's; one of ours that is not among them says nothing.

    Many programs save only what was worked on: a segment that is left out was not judged.

    Raises
    ------
    Defect
        ``edited-unreadable``; ``edited-elsewhere``: it doesn't lie on the planes of ours, or,
        where those lie nowhere in space, on its images.

    """
    if theirs.get("FrameOfReferenceUID") != ours.get("FrameOfReferenceUID"):
        raise elsewhere()
    with translated("edited-unreadable", "The edited segmentation can't be read."):
        if (theirs.Rows, theirs.Columns) != (ours.Rows, ours.Columns):
            raise elsewhere()
        voxel_mm3, places = _grid_of(ours)
        before = _masks(ours, places)
        places.close()
        after = _masks(theirs, places)
        return tuple(
            EditedSegment(
                tracking_uid=uid,
                was_empty=not _count(before[own]),
                is_empty=not _count(after[other]),
                dice=_dice(before[own], after[other]),
                volume_mm3=None if voxel_mm3 is None else voxel_mm3 * _count(after[other]),
            )
            for uid, own, other in matched_segments(segments_of(theirs), segments_of(ours))
        )


def _grid_of(ours: Dataset) -> tuple[float | None, _Places]:
    """Return the volume of a voxel, and how frames find their place: in space, or by their image."""
    if "FrameOfReferenceUID" not in ours:
        return None, _Images()
    measures = ours.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    row_step, column_step = (float(one) for one in measures.PixelSpacing)
    step = float(measures.SpacingBetweenSlices)
    return row_step * column_step * step, _Planes(step)


def elsewhere() -> Defect:
    """Return what is raised of a segmentation that lies beside the images."""
    return Defect("edited-elsewhere", "The edited segmentation lies on other planes than ours.")


class _Places(Protocol):
    """Numbers the places of frames."""

    def close(self) -> None:
        """Let what is known be ours: from here on a frame must belong to it."""
        ...

    def number(self, frame: Dataset, ds: Dataset) -> int:
        """Return the number of a frame's place. Raises Defect ``edited-elsewhere``."""
        ...


class _Images:
    """Numbers images that lie nowhere in space: a frame lies on the one that it was made from."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int], int] = {}
        self._is_closed = False

    def close(self) -> None:
        """See `_Places`."""
        self._is_closed = True

    def number(self, frame: Dataset, ds: Dataset) -> int:
        """See `_Places`."""
        shared = ds.SharedFunctionalGroupsSequence[0]
        (source, *_) = group_of(frame, shared, "DerivationImageSequence").SourceImageSequence
        number = int(source.get("ReferencedFrameNumber") or 1)
        key = str(source.ReferencedSOPInstanceUID), number
        if key not in self._numbers:
            if self._is_closed:
                raise elsewhere()
            self._numbers[key] = len(self._numbers)
        return self._numbers[key]


class _Planes:
    """Numbers planes; the same plane, written by another program, has the same number."""

    def __init__(self, spacing_mm: float) -> None:
        self._spacing_mm = spacing_mm
        self._known: list[NDArray[np.float64]] = []
        self._own = 0
        self._numbers: dict[tuple[float, ...], int] = {}

    def close(self) -> None:
        """Let what is known be ours: from here on a plane must lie in its stack."""
        self._own = len(self._known)

    def number(self, frame: Dataset, ds: Dataset) -> int:
        """Return a plane's number. Raises Defect where it is no neighbour of the planes before."""
        shared = ds.SharedFunctionalGroupsSequence[0]
        lies = corners(
            group_of(frame, shared, "PlanePositionSequence").ImagePositionPatient,
            group_of(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient,
            group_of(frame, shared, "PixelMeasuresSequence").PixelSpacing,
            size=(int(ds.Rows), int(ds.Columns)),
        )
        key = tuple(lies.ravel())
        if key not in self._numbers:
            self._numbers[key] = self._find(lies)
        return self._numbers[key]

    def _find(self, lies: NDArray[np.float64]) -> int:
        if self._known:
            moved = np.array(self._known) - lies
            distances = np.linalg.norm(moved, axis=2).max(axis=1)
            nearest = int(distances.argmin())
            if distances[nearest] < TOLERANCE_MM:
                return nearest
            if self._own and not self._is_in_the_stack(moved[nearest], self._known[nearest]):
                raise elsewhere()
        self._known.append(lies)
        return len(self._known) - 1

    def _is_in_the_stack(self, moved: NDArray[np.float64], plane: NDArray[np.float64]) -> bool:
        """Whether a plane lies whole slices above or below another, on the stack's own line."""
        if np.ptp(moved, axis=0).max() > TOLERANCE_MM:  # turned, flipped or scaled
            return False
        normal = np.cross(plane[1] - plane[0], plane[2] - plane[0])
        normal /= np.linalg.norm(normal)
        steps = float(moved[0] @ normal) / self._spacing_mm
        whole = abs(steps - round(steps)) * self._spacing_mm < TOLERANCE_MM
        return whole and float(np.linalg.norm(moved[0] - round(steps) * self._step(normal))) < (
            TOLERANCE_MM * max(1, abs(round(steps)))
        )

    def _step(self, normal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the way from one slice to the next: of a tilted stack not along the normal."""
        for one in self._known[1 : self._own]:
            away = one[0] - self._known[0][0]
            if steps := round(float(away @ normal) / self._spacing_mm):
                return np.asarray(away / steps)
        return normal * self._spacing_mm


_Masks = defaultdict[int, dict[int, "NDArray[np.bool_]"]]
"""By Segment Number, then by plane."""


def _masks(ds: Dataset, places: _Places) -> _Masks:
    masks: _Masks = defaultdict(dict)
    numbers = [int(one.SegmentNumber) for one in segments_of(ds)]
    for (number, plane), pixels in zip(_placed(ds, places), pixels_of(ds), strict=True):
        if number == BACKGROUND:  # a label map: every segment in one frame
            for one in numbers:
                masks[one][plane] = pixels == one
        else:
            half = int(ds.get("MaximumFractionalValue", 1)) / 2
            masks[number][plane] = np.asarray(pixels, np.uint8) >= half
    return masks


def _placed(ds: Dataset, places: _Places) -> Iterator[tuple[int, int]]:
    shared = ds.SharedFunctionalGroupsSequence[0]
    for frame in ds.PerFrameFunctionalGroupsSequence:
        number = BACKGROUND
        if ds.SegmentationType != "LABELMAP":
            number = int(group_of(frame, shared, SEGMENT).ReferencedSegmentNumber)
        yield number, places.number(frame, ds)


def matched_segments(theirs: list[Dataset], ours: list[Dataset]) -> Iterator[tuple[str, int, int]]:
    """Yield our Tracking UID and Segment Number, or nothing and `ADDED`, and the reader's number."""
    by_uid = {one.TrackingUID: one for one in ours}
    by_label = {one.SegmentLabel: one for one in ours}
    for one in theirs:
        own = by_uid.get(one.get("TrackingUID")) or by_label.get(one.get("SegmentLabel"))
        if own is None:
            yield "", ADDED, int(one.SegmentNumber)
        else:
            yield str(own.TrackingUID), int(own.SegmentNumber), int(one.SegmentNumber)


def _dice(before: Mapping[int, NDArray[np.bool_]], after: Mapping[int, NDArray[np.bool_]]) -> float:
    total = _count(before) + _count(after)
    if not total:
        return 1.0
    both = sum(int(np.count_nonzero(before[k] & after[k])) for k in before.keys() & after.keys())
    return 2 * both / total


def _count(masks: Mapping[int, NDArray[np.bool_]]) -> int:
    return sum(int(np.count_nonzero(mask)) for mask in masks.values())


def segments_of(ds: Dataset) -> list[Dataset]:
    """Return the items of the segments; the background of a label map is none."""
    return [one for one in ds.get("SegmentSequence", []) if one.SegmentNumber != BACKGROUND]


def _sources(ds: Dataset) -> set[str]:
    """Return the Series Instance UIDs of the images that a segmentation refers to."""
    return {str(one.SeriesInstanceUID) for one in ds.get("ReferencedSeriesSequence", [])}
