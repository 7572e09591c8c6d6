"""What a measurement report says of a prediction, in words that need no library to write or read.

Writer and check both take these; everything else the check works out for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as PydicomCode

from clic_edge.domain.prediction import Code, Measurement
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.results.provenance import finding_uid, tracking_id, tracking_uid
from clic_edge.results.wording import say

if TYPE_CHECKING:
    from clic_edge.domain.prediction import (
        CategoryFinding,
        Detection,
        ModelIdentity,
        Prediction,
        SegmentDefinition,
        SegmentFinding,
    )
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis

ANATOMICAL_STRUCTURES = {("91723000", "SCT"), ("123037004", "SCT")}
"""Segmented property categories (CID 7150) whose types are places in the body."""

LATERALITIES = {
    (one.value, one.scheme_designator) for one in map(codes.cid244.__getattr__, codes.cid244.dir())
}
"""CID 244: right, left, bilateral, unilateral; every other modifier of a place is topographical."""

PROCEDURES = {
    "CT": PydicomCode("25045-6", "LN", "CT unspecified body region"),
    "MR": PydicomCode("25056-3", "LN", "MRI unspecified body region"),
    "PT": PydicomCode("44136-0", "LN", "PET unspecified body region"),
    "NM": PydicomCode("49118-3", "LN", "NM unspecified body region"),
    "US": PydicomCode("25061-3", "LN", "US unspecified body region"),
}
"""CID 100, for studies that don't say which procedure they are."""

ANY_PROCEDURE = PydicomCode("363679005", "SCT", "Imaging procedure")

PROBABILITY = Code(value="122157", scheme="DCM", meaning="Probability")
NO_UNITS = Code(value="1", scheme="UCUM", meaning="no units")
VOLUME = Code(value="118565006", scheme="SCT", meaning="Volume")
CUBIC_MILLIMETRE = Code(value="mm3", scheme="UCUM", meaning="cubic millimeter")

SIDES = {
    "L": Code(value="7771000", scheme="SCT", meaning="Left"),
    "R": Code(value="24028007", scheme="SCT", meaning="Right"),
    "B": Code(value="51440002", scheme="SCT", meaning="Right and left"),
}
"""CID 244, by what an image calls its side."""

REFERRED = (ResultKind.SEG, ResultKind.SEG_FRACTIONAL, ResultKind.SEG_LABELMAP)
"""What Referenced Segment (121191, DCM) of TID 1411 may name, those first that most readers open.

It has to be an IMAGE, and a label map is one: COMPOSITE is for what is no image (PS3.3
C.17.3.2.1). But DCMTK 3.6.7 opens no report that names its SOP Class, so it comes last.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """How one finding is found again in other objects and later reports (TID 4108)."""

    uid: str
    identifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where in the body a segment lies (TID 1501, Finding Site)."""

    place: Code
    laterality: Code | None = None
    topography: Code | None = None


def referred_segmentation(earlier: tuple[ResultObject, ...]) -> ResultObject | None:
    """Return the segmentation that the report names: the first of `REFERRED` that there is."""
    by_kind = {one.kind: one for one in reversed(earlier)}
    return next((by_kind[kind] for kind in REFERRED if kind in by_kind), None)


def procedure(source: Source) -> PydicomCode:
    """Return the imaging procedure (121058, DCM), never the algorithm (IHE AIR)."""
    for item in source.identity.get("ProcedureCodeSequence", []):
        return PydicomCode(
            item.get("CodeValue") or item.LongCodeValue,
            item.CodingSchemeDesignator,
            item.CodeMeaning,
            item.get("CodingSchemeVersion"),
        )
    return PROCEDURES.get(str(source.header.get("Modality", "")), ANY_PROCEDURE)


def site_of(segment: SegmentDefinition) -> Site | None:
    """Return where a segment lies, where its type is a place; a lesion's type is none."""
    if (segment.category.value, segment.category.scheme) not in ANATOMICAL_STRUCTURES:
        return None
    modifier = segment.modifier
    if modifier and (modifier.value, modifier.scheme) in LATERALITIES:
        return Site(place=segment.property_type, laterality=modifier)
    return Site(place=segment.property_type, topography=modifier)


def laterality_of(source: Source) -> Code | None:
    """Return which side an image is of, where it says so (0020,0062), (0020,0060)."""
    header = source.header
    return SIDES.get(str(header.get("ImageLaterality") or header.get("Laterality") or ""))


def site_of_image(source: Source) -> Site | None:
    """Return what an image shows, by its Anatomic Region Sequence (0008,2218), and of which side."""
    for item in source.header.get("AnatomicRegionSequence", []):
        value, scheme = item.get("CodeValue"), item.get("CodingSchemeDesignator")
        if value and scheme and item.get("CodeMeaning"):
            place = Code(value=str(value), scheme=str(scheme), meaning=str(item.CodeMeaning))
            return Site(place=place, laterality=laterality_of(source))
    return None


def measurements(analysis: Analysis, finding: SegmentFinding) -> tuple[Measurement, ...]:
    """Return the numbers of a segment: its volume first, which a single image has none of."""
    volume = Measurement(name=VOLUME, value=finding.volume_mm3, unit=CUBIC_MILLIMETRE)
    return (volume, *finding.measurements) if analysis.in_patient else finding.measurements


def questions(prediction: Prediction) -> tuple[tuple[CategoryFinding, ...], ...]:
    """Return the categories by the question that they answer, in the model's order."""
    asked: dict[tuple[str, str], list[CategoryFinding]] = {}
    for one in prediction.categories:
        asked.setdefault((one.concept.scheme, one.concept.value), []).append(one)
    return tuple(tuple(answers) for answers in asked.values())


def tracking_of_segment(analysis: Analysis, segment: SegmentDefinition) -> Tracking:
    """Return the identifiers that the segment has in the segmentation too."""
    return Tracking(uid=tracking_uid(analysis, segment), identifier=tracking_id(analysis, segment))


def tracking_of_question(analysis: Analysis, concept: Code) -> Tracking:
    """Return the identifiers of what a classifier says to one question."""
    return Tracking(
        uid=finding_uid(analysis, "question", concept.scheme, concept.value),
        identifier=f"{analysis.model.model_id} {concept.meaning}",
    )


def tracking_of_detection(analysis: Analysis, detection: Detection) -> Tracking:
    """Return the identifiers of one thing that was found at a place."""
    return Tracking(
        uid=finding_uid(analysis, "detection", detection.name),
        identifier=f"{analysis.model.model_id} {detection.name}",
    )


def parameters(model: ModelIdentity, language: str) -> tuple[str, ...]:
    """Return the operating point as Algorithm Parameters (TID 4019), every digit of it."""
    point = model.operating_point
    if point is None:
        return ()
    shares = (
        ("threshold", point.threshold),
        ("sensitivity", point.sensitivity),
        ("specificity", point.specificity),
    )
    return (
        f"{say('operating point', language)}: {point.name}",
        *(f"{say(name, language)}: {share!r}" for name, share in shares if share is not None),
    )
