"""A reader's assessment of a result as an SR, written and read (after IHE AIRA: who, what, why).

IHE's own codes for the verdicts aren't published in a form that could be used here, so they are
codes of this product; `VERDICTS` and `REASONS` are where others' are added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    CompositeContentItem,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    LanguageOfContentItemAndDescendants,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    RelationshipTypeValues,
    TextContentItem,
    UIDRefContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

import clic_edge
from clic_edge.dicom.reading import read_instance, translated
from clic_edge.dicom.uids import derive_uid
from clic_edge.domain.assessment import Reason, Verdict
from clic_edge.domain.result import ResultKind
from clic_edge.results import provenance
from clic_edge.results.identity import identity_of
from clic_edge.results.meanings import LANGUAGES, translate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from clic_edge.domain.result import ResultObject

SCHEME = "99CLICEDGE"
TITLE = Code("ai-result-assessment", SCHEME, "AI result assessment")
ASSESSED = Code("assessed-finding", SCHEME, "Assessed finding")
VERDICT = Code("verdict", SCHEME, "Verdict")
REASON = Code("reason", SCHEME, "Reason")
VERDICTS = {(str(one), SCHEME): one for one in Verdict}
REASONS = {(str(one), SCHEME): one for one in Reason}
"""What a code of either says, by value and scheme."""

CONTAINS = RelationshipTypeValues.CONTAINS
TRACKING_ID, TRACKING_UID, PERSON = "112039", "112040", "121008"
LONGEST_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedFinding:
    """A finding as one of our objects names it."""

    tracking_uid: str
    tracking_id: str
    """Model and name, as `provenance.tracking_id` writes them."""
    numbers: tuple[str, ...] = ()
    """What an SR says of it, for people."""

    @property
    def name(self) -> str:
        """Name of the segment, question or detection."""
        return self.tracking_id.partition(" ")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a reader says of one finding."""

    tracking_uid: str
    """By which the finding is named in our SEG and SR."""
    verdict: Verdict
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentReport:
    """What a reader says of a result, as an SR says it."""

    reader: str
    """The person observer's name: an identity, so it goes no further than to its stand-in."""
    assessed: frozenset[str]
    """SOP Instance UIDs of the objects that it refers to."""
    statements: tuple[Statement, ...]


def findings_in(ds: Dataset) -> tuple[TrackedFinding, ...]:
    """Return what a SEG or an SR of ours names for tracking, in its order.

    A finding may have several groups in an SR, such as an outline and its numbers.
    """
    if "SegmentSequence" in ds:
        return tuple(
            TrackedFinding(tracking_uid=str(one.TrackingUID), tracking_id=str(one.TrackingID))
            for one in ds.SegmentSequence
            if "TrackingUID" in one
        )
    found: dict[str, TrackedFinding] = {}
    for group in items_of(ds):
        named = _named(group)
        if TRACKING_UID in named and TRACKING_ID in named:
            uid = str(named[TRACKING_UID].UID)
            one = found.get(uid) or TrackedFinding(
                tracking_uid=uid, tracking_id=str(named[TRACKING_ID].TextValue)
            )
            numbers = tuple(
                _number(each) for each in group.ContentSequence if each.ValueType == "NUM"
            )
            found[uid] = replace(one, numbers=(*one.numbers, *numbers))
    return tuple(found.values())


def _number(item: Dataset) -> str:
    """Return a measurement as people read it."""
    (measured,) = item.MeasuredValueSequence
    unit = measured.MeasurementUnitsCodeSequence[0]
    name = item.ConceptNameCodeSequence[0].CodeMeaning
    symbol = "" if unit.CodeValue == "1" else f" {unit.CodeValue}"
    said = [one for one in item.get("ContentSequence", []) if one.ValueType == "CODE"]
    of = ", ".join(one.ConceptCodeSequence[0].CodeMeaning for one in said)
    return f"{name} {float(measured.NumericValue):.4g}{symbol}{f' ({of})' if of else ''}"


def write_assessment(
    assessed: ResultObject, report: AssessmentReport, *, at: datetime, language: str
) -> ResultObject:
    """Return what a reader says of a result object, as an SR of the same study.

    Its UID is made of what it says, by whom and when, so that it is the same however often it is
    written.

    Raises
    ------
    Defect
        ``unreadable-instance``; ``assessment-impossible``: a name or code can't be written.

    """
    ours = read_instance(assessed.content)
    with translated("assessment-impossible", "An assessment can't be made of these answers."):
        identity = identity_of(ours)
        said = (f"{one.tracking_uid} {one.verdict} {one.reason}" for one in report.statements)
        uid = derive_uid(assessed.sop_instance_uid, report.reader, at.isoformat(), *said)
        ds = Comprehensive3DSR(
            evidence=[_evidence(ours, identity)],
            content=_content(ours, report, language),
            series_instance_uid=derive_uid(assessed.series_instance_uid, "assessments"),
            series_number=provenance.ASSESSMENTS_NUMBER,
            sop_instance_uid=uid,
            instance_number=1,
            manufacturer=provenance.MANUFACTURER,
            is_complete=True,
        )
        _stamp(ds, at=provenance.local_time(at, ours))
        translate(ds, language)
        ds.update(identity)
        return provenance.result_object(ds, ResultKind.ASSESSMENT)


def _stamp(ds: Dataset, *, at: datetime) -> None:
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SeriesDescription = "AI: assessment"
    ds.InstanceCreationDate = ds.ContentDate = at.strftime("%Y%m%d")
    ds.InstanceCreationTime = ds.ContentTime = at.strftime("%H%M%S.%f")
    ds.ManufacturerModelName = provenance.MANUFACTURER
    ds.SoftwareVersions = clic_edge.__version__
    ds.CodingSchemeIdentificationSequence = [_scheme()]
    del ds.ContributingEquipmentSequence  # highdicom's: it says when, and no program contributed


def read_assessment(ds: Dataset) -> AssessmentReport | None:
    """Return what an SR says of findings; None where it is no assessment in codes known here."""
    statements = tuple(_statements(ds))
    if not statements:
        return None
    items = list(items_of(ds))
    readers = [str(one.PersonName) for one in items if _concept(one) == PERSON]
    assessed = frozenset(
        str(one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for one in items
        if one.get("ValueType") in {"IMAGE", "COMPOSITE"} and one.get("ReferencedSOPSequence")
    )
    return AssessmentReport(
        reader=readers[0] if readers else "", assessed=assessed, statements=statements
    )


def items_of(ds: Dataset) -> Iterator[Dataset]:
    """Yield every content item, at any depth."""
    for item in ds.get("ContentSequence", []):
        yield item
        yield from items_of(item)


def _statements(ds: Dataset) -> Iterator[Statement]:
    for group in items_of(ds):
        named = _named(group)
        verdict = VERDICTS.get(_value(named.get(VERDICT.value)))
        if verdict and TRACKING_UID in named:
            yield Statement(
                tracking_uid=str(named[TRACKING_UID].UID),
                verdict=verdict,
                reason=REASONS.get(_value(named.get(REASON.value))),
            )


def _content(ours: Dataset, report: AssessmentReport, language: str) -> ContainerContentItem:
    tag, own_name = LANGUAGES[language]
    root = ContainerContentItem(name=TITLE)
    person = PersonObserverIdentifyingAttributes(name=report.reader)
    names = {one.tracking_uid: one.tracking_id for one in findings_in(ours)}
    root.ContentSequence = ContentSequence(
        [
            *LanguageOfContentItemAndDescendants(CodedConcept(tag, "RFC5646", own_name)),
            *ObservationContext(
                observer_person_context=ObserverContext(
                    observer_type=codes.DCM.Person, observer_identifying_attributes=person
                )
            ),
            *(_group(ours, one, names[one.tracking_uid]) for one in report.statements),
        ],
        is_root=False,
        is_sr=True,
    )
    return root


def _group(ours: Dataset, statement: Statement, name: str) -> ContainerContentItem:
    """Return one finding's group: which one, in which object, the verdict, and why."""
    group = ContainerContentItem(name=ASSESSED, relationship_type=CONTAINS)
    inner = [
        TextContentItem(
            name=codes.DCM.TrackingIdentifier,
            value=name,
            relationship_type=RelationshipTypeValues.HAS_OBS_CONTEXT,
        ),
        UIDRefContentItem(
            name=codes.DCM.TrackingUniqueIdentifier,
            value=statement.tracking_uid,
            relationship_type=RelationshipTypeValues.HAS_OBS_CONTEXT,
        ),
        _code(VERDICT, statement.verdict),
    ]
    if statement.reason:
        inner.append(_code(REASON, statement.reason))
    inner.append(
        CompositeContentItem(
            name=codes.DCM.OfInterest,
            referenced_sop_class_uid=ours.SOPClassUID,
            referenced_sop_instance_uid=ours.SOPInstanceUID,
            relationship_type=CONTAINS,
        )
    )
    group.ContentSequence = ContentSequence(inner)
    return group


def _code(name: Code, value: Verdict | Reason) -> CodeContentItem:
    meaning = value.replace("-", " ").capitalize()
    return CodeContentItem(
        name=name, value=Code(value, SCHEME, meaning), relationship_type=CONTAINS
    )


def _evidence(ours: Dataset, identity: Dataset) -> Dataset:
    item = Dataset()
    item.update(identity)
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        item[keyword] = ours[keyword]
    return item


def _scheme() -> Dataset:
    """Return whose codes these are (PS3.3 C.12.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeName = "clic-edge"
    item.CodingSchemeResponsibleOrganization = "clic-edge"
    return item


def _named(group: Dataset) -> dict[str, Dataset]:
    """Return the content items of a group by the value of their concept name."""
    return {_concept(item): item for item in group.get("ContentSequence", [])}


def _concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeValue", "")) if names else ""


def _value(item: Dataset | None) -> tuple[str, str]:
    if item is None or not item.get("ConceptCodeSequence"):
        return "", ""
    code = item.ConceptCodeSequence[0]
    return str(code.get("CodeValue", "")), str(code.get("CodingSchemeDesignator", ""))
