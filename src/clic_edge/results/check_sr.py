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
from clic_edge.results.sr_terms import referred_segmentation, tracking_of_detection
from clic_edge.results.sr_tree import Drawn, Referred, read_items, require_same

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.prediction import Detection
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.source import Source
    from clic_edge.results.sr_tree import Item
    from clic_edge.results.writer import Analysis


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
    uid, affine = (
        tracking_of_detection(analysis, detection).uid,
        analysis.prediction.geometry.affine,
    )
    groups = [one for one in items[-1].children if uid in {item.value for item in one.children}]
    drawn = [item.value for item in groups[-1].children if isinstance(item.value, Drawn)]
    points = [point for one in drawn for point in one.points_mm]
    given, found = (_corners(one, affine) for one in (detection.corners_mm, points))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if (np.abs(given - found) * spacing).max() > tolerance_mm(analysis.prediction.geometry):
        raise Defect("sr-differs", "A finding isn't drawn where the model found it.")


def _corners(
    points_mm: Iterable[tuple[float, ...]], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return shape (2, 3): the first and last slice, row and column of points in patient mm."""
    points = np.array(list(points_mm), np.float64)
    indices = np.linalg.inv(affine) @ np.column_stack([points, np.ones(len(points))]).T
    return np.array([indices[:3].min(axis=1), indices[:3].max(axis=1)])
