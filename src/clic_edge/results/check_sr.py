"""Compare a measurement report, read back, with the findings and with what it refers to."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from pydicom.filereader import read_partial
from pydicom.tag import Tag

from clic_edge.errors import Defect
from clic_edge.results.check_geometry import tolerance_mm
from clic_edge.results.sr_expected import expected_items
from clic_edge.results.sr_terms import (
    referred_segmentation,
    tracking_of_detection,
    tracking_of_segment,
)
from clic_edge.results.sr_tree import Drawn, Referred, read_items, require_same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.prediction import Detection, SegmentFinding
    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.volume import Geometry
    from clic_edge.results.source import Source
    from clic_edge.results.sr_tree import Item
    from clic_edge.results.writer import Analysis

FOUR = 4
"""Pixels meet at a corner."""


def check_report(
    ds: Dataset, analysis: Analysis, source: Source, *, results: tuple[ResultObject, ...]
) -> None:
    """Return when the report says what the analysis found, all of it, and nothing else.

    Every item of its content is compared: numbers, units, codes and their meanings, places in
    patient mm, identifiers and references; then its evidence and flags.

    Raises
    ------
    Defect
        ``sr-differs``: an item, a reference or a flag is missing, is another, or is one too many.

    """
    if (ds.CompletionFlag, ds.VerificationFlag) != ("COMPLETE", "UNVERIFIED"):
        raise Defect("sr-differs", "The report's flags aren't COMPLETE and UNVERIFIED.")
    seg = referred_segmentation(results)
    planes = {(one.image.sop_instance_uid, one.frame_number): one for one in source.planes}
    items = read_items(ds, planes)
    require_same(items, expected_items(analysis, source, _segments(seg)))
    for detection in analysis.prediction.detections:
        _require_place(items, analysis, detection)
    for finding in analysis.prediction.segments:
        _require_border(items, analysis, finding, source=source)
    if sorted(_evidence(ds)) != sorted(_existing(source, seg)):
        raise Defect("sr-differs", "The report's evidence isn't the images and the segmentation.")


def _segments(seg: ResultObject | None) -> dict[str, Referred]:
    """Return what a segmentation itself calls its segments, by Tracking UID."""
    if seg is None:
        return {}
    behind = Tag("SegmentSequence") + 1
    ds = read_partial(io.BytesIO(seg.content), stop_when=lambda tag, *_: tag >= behind)
    return {
        str(one.TrackingUID): Referred(
            sop_class_uid=seg.sop_class_uid,
            sop_instance_uid=seg.sop_instance_uid,
            segment=int(one.SegmentNumber),
        )
        for one in ds.SegmentSequence
        if "TrackingUID" in one
    }


def _existing(source: Source, seg: ResultObject | None) -> Iterator[tuple[str, ...]]:
    """Yield study, series, class and instance of each original, then of the segmentation."""
    study = str(source.identity.StudyInstanceUID)
    series = str(source.header.SeriesInstanceUID)
    for image in source.images:
        yield study, series, image.sop_class_uid, image.sop_instance_uid
    if seg is not None:
        yield study, seg.series_instance_uid, seg.sop_class_uid, seg.sop_instance_uid


def _evidence(ds: Dataset) -> Iterator[tuple[str, ...]]:
    for study in ds.CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                yield (
                    str(study.StudyInstanceUID),
                    str(series.SeriesInstanceUID),
                    str(item.ReferencedSOPClassUID),
                    str(item.ReferencedSOPInstanceUID),
                )


def _require_place(items: tuple[Item, ...], analysis: Analysis, detection: Detection) -> None:
    """Compare the corners of all that is drawn with those that the model gave.

    Of a detection with two groups the last has the whole of it. Its points were compared one by
    one already; this asks whether they are the right ones, by the model's grid alone.
    """
    geometry = analysis.prediction.geometry
    drawn = _drawn(items, tracking_of_detection(analysis, detection).uid)[-1]
    given = _indices(np.array(detection.corners_mm, np.float64), geometry)
    found = _indices(drawn, geometry)
    apart = [end(given, axis=0) - end(found, axis=0) for end in (np.min, np.max)]
    if (np.abs(apart) * geometry.spacing_mm).max() > tolerance_mm(geometry):
        raise Defect("sr-differs", "A finding isn't drawn where the model found it.")


def _require_border(
    items: tuple[Item, ...], analysis: Analysis, finding: SegmentFinding, *, source: Source
) -> None:
    """Ask of each point of an outline whether the mask begins or ends there, on its own image."""
    if not finding.voxel_count:
        return
    prediction, segment = analysis.prediction, finding.definition
    groups = _drawn(items, tracking_of_segment(analysis, segment).uid)
    if not groups:  # too many corners for a report: the segmentation has it
        return
    drawn = groups[0]
    k = round(float(_indices(drawn[:1], prediction.geometry)[0, 0]))
    plane = source.planes[k]
    axes = np.array(plane.orientation).reshape(2, 3) / np.array(plane.pixel_spacing[::-1])[:, None]
    column, row = np.rint((drawn - plane.position) @ axes.T + 0.5).astype(int).T
    mask = np.pad(prediction.label_map[k] == segment.number, 1).astype(int)
    around = sum(mask[row + below, column + beside] for below in (0, 1) for beside in (0, 1))
    if not np.all((np.array(around) > 0) & (np.array(around) < FOUR)):
        raise Defect("sr-differs", "A segment's outline isn't the border of the mask.")


def _drawn(items: tuple[Item, ...], uid: str) -> list[NDArray[np.float64]]:
    """Return for each group of a finding that has any the points that it draws, in patient mm."""
    groups = [one.children for one in items[-1].children]
    return [
        np.array(
            [
                point
                for one in group
                if isinstance(one.value, Drawn)
                for point in one.value.points_mm
            ]
        )
        for group in groups
        if uid in {one.value for one in group}
        and any(isinstance(one.value, Drawn) for one in group)
    ]


def _indices(points_mm: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    """Return slice, row and column of points in patient mm."""
    homogeneous = np.column_stack([points_mm, np.ones(len(points_mm))])
    return np.asarray((np.linalg.inv(geometry.affine) @ homogeneous.T)[:3].T, np.float64)
