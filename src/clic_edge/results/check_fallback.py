"""Compare pictures, reports, selections and maps, read back, with what they were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.outlines import areas_of, key_slices
from clic_edge.results.source import corners

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis

TOLERANCE_MM = 0.01


def check_fallback(ds: Dataset, analysis: Analysis, source: Source, *, kind: ResultKind) -> None:
    """Return when an object refers to the right originals, and holds what its kind holds.

    Raises
    ------
    Defect
        ``fallback-differs``.

    """
    CHECKS[kind](ds, analysis, source)


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 - the condition is the point
    if not holds:
        raise Defect("fallback-differs", f"{what} isn't what it was made from.")


def _check_picture(ds: Dataset, analysis: Analysis, source: Source) -> None:
    (reference,) = ds.SourceImageSequence
    areas = areas_of(analysis.prediction)
    shown = {
        plane.image.sop_instance_uid
        for plane, area in zip(source.planes, areas, strict=True)
        if area.any() or analysis.prediction.detections or analysis.image
    }
    _require(reference.ReferencedSOPInstanceUID in shown, "A picture")
    _require(len(ds.PixelData) >= ds.Rows * ds.Columns * 3, "A picture")


def _check_report(ds: Dataset, analysis: Analysis, source: Source) -> None:
    del analysis, source  # its page was set from them; its envelope was compared already
    content = ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]
    _require(content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF"), "The report")


def _check_selection(ds: Dataset, analysis: Analysis, source: Source) -> None:
    wanted = {source.planes[k].image.sop_instance_uid for k in key_slices(analysis.prediction)}
    _require(set(_named(ds)) == wanted, "The selection")


def _check_presentation(ds: Dataset, analysis: Analysis, source: Source) -> None:
    """Count for each original how many voxels its outlines enclose."""
    areas = areas_of(analysis.prediction).sum(axis=1)
    expected = {
        (plane.image.sop_instance_uid, plane.frame_number): int(area)
        for plane, area in zip(source.planes, areas, strict=True)
        if area
    }
    found: dict[tuple[str, int | None], float] = {}
    for annotation in ds.GraphicAnnotationSequence:
        (image,) = annotation.ReferencedImageSequence
        key = (str(image.ReferencedSOPInstanceUID), image.get("ReferencedFrameNumber"))
        for drawn in annotation.GraphicObjectSequence:
            loop = np.array(drawn.GraphicData, float).reshape(-1, 2)
            found[key] = found.get(key, 0) + _enclosed(loop)
    _require(found.keys() == expected.keys(), "The presentation state")
    same = all(round(found[key]) == area for key, area in expected.items())
    _require(same, "The presentation state")


def _enclosed(loop: np.ndarray) -> float:
    """Return the signed area of a closed polyline; a hole's is negative."""
    x, y = loop[:-1].T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _check_map(ds: Dataset, analysis: Analysis, source: Source) -> None:
    maps = {provenance.map_uid(analysis, one): one for one in analysis.prediction.maps}
    given = maps.get(str(ds.SOPInstanceUID))
    if given is None:
        raise Defect("fallback-differs", "A map isn't one of the model's.")
    values = np.frombuffer(ds.FloatPixelData, "<f4").reshape(-1, ds.Rows, ds.Columns)
    _require(values.shape == given.values.shape, "A map")
    shared, size = ds.SharedFunctionalGroupsSequence[0], (int(ds.Rows), int(ds.Columns))
    for frame, pixels in zip(ds.PerFrameFunctionalGroupsSequence, values, strict=True):
        lies = corners(
            frame.PlanePositionSequence[0].ImagePositionPatient,
            shared.PlaneOrientationSequence[0].ImageOrientationPatient,
            shared.PixelMeasuresSequence[0].PixelSpacing,
            size=size,
        )
        distances = [
            np.linalg.norm(plane.corners(*size) - lies, axis=1).max() for plane in source.planes
        ]
        k = int(np.argmin(distances))
        _require(float(distances[k]) <= TOLERANCE_MM, "The place of a map")
        _require(np.array_equal(pixels, given.values[k]), "A map")


def _named(ds: Dataset) -> Iterator[str]:
    for item in ds.get("ContentSequence", []):
        yield from (
            str(one.ReferencedSOPInstanceUID) for one in item.get("ReferencedSOPSequence", [])
        )
        yield from _named(item)


CHECKS = {
    ResultKind.SC: _check_picture,
    ResultKind.PDF: _check_report,
    ResultKind.KO: _check_selection,
    ResultKind.PR: _check_presentation,
    ResultKind.PM: _check_map,
}
