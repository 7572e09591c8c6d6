"""Compare a measurement report, read back, with the findings and with what it refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.source import ImageReference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis

DECIMAL_TOLERANCE = 1e-9
"""Relative; a decimal string has 16 characters."""

TRACKING_UID = "112040"
VOLUME = "118565006"


def check_report(
    ds: Dataset, analysis: Analysis, source: Source, *, results: tuple[ResultObject, ...]
) -> None:
    """Return when evidence and volumes are exactly those of the analysis.

    Raises
    ------
    Defect
        ``sr-differs``: a flag, a reference or a volume is another.

    """
    if (ds.CompletionFlag, ds.VerificationFlag) != ("COMPLETE", "UNVERIFIED"):
        raise Defect("sr-differs", "The report's flags aren't COMPLETE and UNVERIFIED.")
    items = list(_content_items(ds))
    mentioned = {
        _referenced(item.ReferencedSOPSequence[0])
        for item in items
        if item.ValueType in {"IMAGE", "COMPOSITE"}
    }
    evidence = {
        _referenced(item)
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    existing = {*source.images} | {
        ImageReference(sop_class_uid=one.sop_class_uid, sop_instance_uid=one.sop_instance_uid)
        for one in results
        if one.kind is ResultKind.SEG
    }
    if evidence != existing or mentioned != existing:
        raise Defect("sr-differs", "The report's evidence isn't the images and the segmentation.")
    volumes = dict(_volumes(items))
    for finding in analysis.prediction.segments:
        volume = volumes.pop(provenance.tracking_uid(analysis, finding.definition), None)
        if volume is None or abs(volume - finding.volume_mm3) > DECIMAL_TOLERANCE * volume:
            raise Defect("sr-differs", "The report has another volume than the model found.")
    if volumes:
        raise Defect("sr-differs", "The report measures an unknown segment.")


def _content_items(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence", []):
        yield item
        yield from _content_items(item)


def _volumes(items: list[Dataset]) -> Iterator[tuple[str, float]]:
    """Yield Tracking Unique Identifier and Volume of each measurement group."""
    for group in items:
        inner = {
            item.ConceptNameCodeSequence[0].CodeValue: item
            for item in group.get("ContentSequence", [])
        }
        if TRACKING_UID in inner and VOLUME in inner:
            value = inner[VOLUME].MeasuredValueSequence[0]
            yield str(inner[TRACKING_UID].UID), float(value.NumericValue)


def _referenced(item: Dataset) -> ImageReference:
    return ImageReference(
        sop_class_uid=str(item.ReferencedSOPClassUID),
        sop_instance_uid=str(item.ReferencedSOPInstanceUID),
    )
