"""Compare a segmentation, read back, with the mask and with the originals' planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydicom.pixels.utils import iter_pixels

from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.source import ImageReference, corners

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.prediction import Prediction
    from clic_edge.results.source import Plane, Source
    from clic_edge.results.writer import Analysis

TOLERANCE_MM = 0.01
"""How far a written plane may lie from the original's, at its corners."""

LOCATION = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "DerivationImageSequence",
)
"""The functional groups that say where a frame lies, and on which original."""

SEGMENT = "SegmentIdentificationSequence"
BACKGROUND = 0
"""Segment Number of what is no segment, in a label map (PS3.3 C.8.20.2)."""

UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """What the prediction says must be in the object."""

    frame: Callable[[int, int], NDArray[np.generic]]
    """The pixels of a Segment Number on a slice."""
    voxels: int
    """How many pixels of all frames aren't 0."""


def check_segmentation(ds: Dataset, analysis: Analysis, source: Source) -> None:
    """Return when each frame is what the prediction says, and no voxel is left out.

    Frames are compared one by one, whichever of the three forms they have; since each is right,
    and they have as many voxels together as the prediction, none is missing.

    Raises
    ------
    Defect
        ``seg-misplaced``: a frame doesn't lie on the plane of the original it refers to.
        ``seg-differs``: a segment, a frame or a pixel is missing or too many.

    """
    prediction = analysis.prediction
    in_patient = prediction.geometry.in_patient
    if ds.get("FrameOfReferenceUID") != (source.header.FrameOfReferenceUID if in_patient else None):
        raise Defect("seg-misplaced", "The segmentation has another Frame of Reference.")
    if (ds.Rows, ds.Columns) != prediction.geometry.shape[1:]:
        raise Defect("seg-differs", "The segmentation's frames have another size.")
    expected = EXPECTED[ds.SegmentationType](prediction, _segments(ds, analysis))
    places = list(_places(ds, source) if in_patient else _places_on_image(ds, source))
    if ds.NumberOfFrames != len(places) or len(set(places)) != len(places):
        raise Defect("seg-differs", "The segmentation has another number of frames than it says.")
    voxels = 0
    for (number, k), pixels in zip(places, pixels_of(ds), strict=True):
        in_frame = int(np.count_nonzero(pixels))
        if not in_frame or not np.array_equal(pixels, expected.frame(number, k)):
            raise Defect("seg-differs", f"Segment {number} differs on slice {k + 1}.")
        voxels += in_frame
    if voxels != expected.voxels:
        raise Defect("seg-differs", "The segmentation leaves a part of the mask out.")


def pixels_of(ds: Dataset) -> Iterator[NDArray[np.generic]]:
    """Yield each frame; packed bits are read here: pydicom fails where frames share a byte."""
    if ds.BitsAllocated != 1:
        yield from iter_pixels(ds)
        return
    size = ds.Rows * ds.Columns
    packed = np.frombuffer(ds.PixelData, np.uint8)
    for first in range(0, ds.NumberOfFrames * size, size):  # PS3.5 8.1.1
        bits = np.unpackbits(packed[first // 8 : -(-(first + size) // 8)], bitorder="little")
        yield bits[first % 8 :][:size].reshape(ds.Rows, ds.Columns)


def _segments(ds: Dataset, analysis: Analysis) -> Mapping[int, int]:
    """Return the model's number of each Segment Number; the background has none."""
    own = {
        provenance.tracking_uid(analysis, one.definition): one.definition.number
        for one in analysis.prediction.segments
    }
    written = {
        int(item.SegmentNumber): own.get(str(item.get("TrackingUID")), UNKNOWN)
        for item in ds.SegmentSequence
        if item.SegmentNumber != BACKGROUND
    }
    if len(written) != len(set(written.values())):
        raise Defect("seg-differs", "The segmentation has a segment twice.")
    return written


def _expected_bits(prediction: Prediction, segments: Mapping[int, int]) -> _Expected:
    _require(segments, {one.definition.number for one in prediction.segments if one.voxel_count})
    label_map = prediction.label_map
    return _Expected(
        frame=lambda number, k: label_map[k] == segments[number],
        voxels=int(np.count_nonzero(label_map)),
    )


def _expected_labels(prediction: Prediction, segments: Mapping[int, int]) -> _Expected:
    _require(segments, {one.definition.number for one in prediction.segments if one.voxel_count})
    label_map = prediction.label_map
    numbers = np.zeros(np.iinfo(label_map.dtype).max + 1, np.uint16)
    for number, label in segments.items():
        numbers[label] = number
    return _Expected(
        frame=lambda _, k: numbers.take(label_map[k]), voxels=int(np.count_nonzero(label_map))
    )


def _expected_fractions(prediction: Prediction, segments: Mapping[int, int]) -> _Expected:
    maps = {one.segment: one.values for one in prediction.maps if one.segment is not None}
    voxels = {
        label: sum(int(np.count_nonzero(_fractions(plane))) for plane in values)
        for label, values in maps.items()
    }
    _require(segments, {label for label, count in voxels.items() if count})
    return _Expected(
        frame=lambda number, k: _fractions(maps[segments[number]][k]),
        voxels=sum(voxels.values()),
    )


def _fractions(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    steps: NDArray[np.float32] = np.rint(probabilities * np.float32(255))
    return steps


EXPECTED = {
    "BINARY": _expected_bits,
    "LABELMAP": _expected_labels,
    "FRACTIONAL": _expected_fractions,
}


def _require(segments: Mapping[int, int], found: set[int]) -> None:
    if set(segments.values()) != found:
        raise Defect("seg-differs", "The segmentation has other segments than the model found.")


def _places(ds: Dataset, source: Source) -> Iterator[tuple[int, int]]:
    """Yield each frame's Segment Number (0 where it shows all) and the slice it lies on.

    Frames of one slice, and those of one segment, say it with the same bytes: parsed once.
    """
    shared, size = ds.SharedFunctionalGroupsSequence[0], (int(ds.Rows), int(ds.Columns))
    planes = np.array([plane.corners(*size) for plane in source.planes])
    slices: dict[Hashable, int] = {}
    numbers: dict[Hashable, int] = {}
    for frame in ds.PerFrameFunctionalGroupsSequence:
        location = tuple(_encoded(frame, keyword) for keyword in LOCATION)
        if location not in slices:
            lies = corners(
                group_of(frame, shared, "PlanePositionSequence").ImagePositionPatient,
                group_of(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient,
                group_of(frame, shared, "PixelMeasuresSequence").PixelSpacing,
                size=size,
            )
            k = slices[location] = _slice(lies, planes)
            _check_reference(frame, source.planes[k])
        segment = _encoded(frame, SEGMENT)
        if segment not in numbers:
            numbers[segment] = (
                int(group_of(frame, shared, SEGMENT).ReferencedSegmentNumber)
                if SEGMENT in frame or SEGMENT in shared
                else BACKGROUND
            )
        yield numbers[segment], slices[location]


def _places_on_image(ds: Dataset, source: Source) -> Iterator[tuple[int, int]]:
    """Yield each frame's Segment Number, with the one slice that there is."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    for frame in ds.PerFrameFunctionalGroupsSequence:
        if any(keyword in one for keyword in LOCATION[:3] for one in (frame, shared)):
            raise Defect("seg-misplaced", "A frame says where it lies, which nobody knows.")
        _check_reference(frame, source.planes[0])
        yield int(group_of(frame, shared, SEGMENT).ReferencedSegmentNumber), 0


def _encoded(frame: Dataset, keyword: str) -> Hashable:
    """Return a functional group's bytes; where a reader has parsed them already, its identity."""
    element = frame.get_item(keyword) if keyword in frame else None
    value = getattr(element, "value", None)
    return value if isinstance(value, bytes) else id(element)


def _slice(lies: NDArray[np.float64], planes: NDArray[np.float64]) -> int:
    """Return the plane on which the corners of a frame lie."""
    distances = np.linalg.norm(planes - lies, axis=2).max(axis=1)
    k = int(distances.argmin())
    if distances[k] > TOLERANCE_MM:
        raise Defect(
            "seg-misplaced",
            f"A frame of the segmentation lies {distances[k]:.3g} mm from the nearest image.",
        )
    return k


def group_of(frame: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """Return the item of a functional group: the frame's own, or the shared one."""
    item: Dataset = (frame if keyword in frame else shared)[keyword].value[0]
    return item


def _check_reference(frame: Dataset, plane: Plane) -> None:
    item = frame.DerivationImageSequence[0].SourceImageSequence[0]
    image = ImageReference(
        sop_class_uid=str(item.ReferencedSOPClassUID),
        sop_instance_uid=str(item.ReferencedSOPInstanceUID),
    )
    if image != plane.image or item.get("ReferencedFrameNumber") != plane.frame_number:
        raise Defect("seg-misplaced", "A frame of the segmentation refers to another image.")
