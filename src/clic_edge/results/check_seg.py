"""Compare a segmentation, read back, with the mask and with the originals' planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.source import ImageReference, corners

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.prediction import SegmentFinding
    from clic_edge.results.source import Plane, Source
    from clic_edge.results.writer import Analysis

TOLERANCE_MM = 0.01
"""How far a written plane may lie from the original's, at its corners."""


def check_segmentation(ds: Dataset, analysis: Analysis, source: Source) -> None:
    """Return when there is one frame for each segment on each slice where it has voxels.

    Raises
    ------
    Defect
        ``seg-misplaced``: a frame doesn't lie on the plane of the original it refers to.
        ``seg-differs``: a segment, a frame or a pixel is missing or too many.

    """
    prediction = analysis.prediction
    if ds.FrameOfReferenceUID != source.header.FrameOfReferenceUID:
        raise Defect("seg-misplaced", "The segmentation has another Frame of Reference.")
    if (ds.Rows, ds.Columns) != prediction.geometry.shape[1:]:
        raise Defect("seg-differs", "The segmentation's frames have another size.")
    frames = _frames(ds, source)
    if ds.NumberOfFrames != len(frames):
        raise Defect("seg-differs", "The segmentation has another number of frames than it says.")
    for number, finding in _segments(ds, analysis).items():
        for k, labels in enumerate(prediction.label_map):
            mask = labels == finding.definition.number
            index = frames.pop((number, k), None)
            if index is None:
                same = not mask.any()
            else:
                same = mask.any() and np.array_equal(_pixels(ds, index), mask)
            if not same:
                raise Defect("seg-differs", f"Segment {number} differs on slice {k + 1}.")
    if frames:
        raise Defect("seg-differs", "The segmentation has frames of an unknown segment.")


def _segments(ds: Dataset, analysis: Analysis) -> Mapping[int, SegmentFinding]:
    """Return the finding of each Segment Number; exactly those with voxels must be there."""
    found = {
        provenance.tracking_uid(analysis, one.definition): one
        for one in analysis.prediction.segments
        if one.voxel_count
    }
    written = {str(item.TrackingUID): int(item.SegmentNumber) for item in ds.SegmentSequence}
    if written.keys() != found.keys():
        raise Defect("seg-differs", "The segmentation has other segments than the model found.")
    return {number: found[uid] for uid, number in written.items()}


def _frames(ds: Dataset, source: Source) -> dict[tuple[int, int], int]:
    """Return each frame's index by Segment Number and slice, found by its position."""
    size = (int(ds.Rows), int(ds.Columns))
    planes = np.array([plane.corners(*size) for plane in source.planes])
    shared = ds.SharedFunctionalGroupsSequence[0]
    frames: dict[tuple[int, int], int] = {}
    for index, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        lies = corners(
            _group(frame, shared, "PlanePositionSequence").ImagePositionPatient,
            _group(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient,
            _group(frame, shared, "PixelMeasuresSequence").PixelSpacing,
            size=size,
        )
        distances = np.linalg.norm(planes - lies, axis=2).max(axis=1)
        k = int(distances.argmin())
        if distances[k] > TOLERANCE_MM:
            raise Defect(
                "seg-misplaced",
                f"A frame of the segmentation lies {distances[k]:.3g} mm from the nearest image.",
            )
        _check_reference(frame, source.planes[k])
        segment = _group(frame, shared, "SegmentIdentificationSequence")
        frames[int(segment.ReferencedSegmentNumber), k] = index
    return frames


def _group(frame: Dataset, shared: Dataset, keyword: str) -> Dataset:
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


def _pixels(ds: Dataset, index: int) -> NDArray[np.bool_]:
    """Return one frame of packed bits; frames don't begin on whole bytes (PS3.5 8.1.1)."""
    size = ds.Rows * ds.Columns
    first, last = index * size, (index + 1) * size
    packed = np.frombuffer(ds.PixelData, np.uint8)[first // 8 : -(-last // 8)]
    bits = np.unpackbits(packed, bitorder="little")[first % 8 :][:size]
    return bits.reshape(ds.Rows, ds.Columns).astype(np.bool_)
