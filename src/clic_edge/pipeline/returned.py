"""What comes back into a study: our segmentation as a reader edited it, and assessments as SR."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.deid.page_key import PageKey
from clic_edge.dicom import part10
from clic_edge.dicom.reading import read_instance, translated
from clic_edge.domain.assessment import ADDED, Assessment, Reason, Source, Verdict
from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect, Refusal, Transient
from clic_edge.pipeline.assessing import (
    ASSESSABLE,
    as_assessments,
    assessable,
    person_name,
    stand_in,
)
from clic_edge.pipeline.delivery import deliver_kind
from clic_edge.results.assessment import read_assessment
from clic_edge.results.edited import EditedSegment, compare, is_version_of
from clic_edge.results.provenance import MANUFACTURER, moment_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pydicom.dataset import Dataset

    from clic_edge.domain.case import Case
    from clic_edge.domain.study import StudySummary
    from clic_edge.pipeline.assessing import Assessable
    from clic_edge.pipeline.line import Line

SEGMENTATIONS = (ResultKind.SEG, ResultKind.SEG_LABELMAP, ResultKind.SEG_FRACTIONAL)
RETURNING = {"SEG", "SR"}
"""Modality (0008,0060) of what may say something of a result."""


def take_back(study: StudySummary, *, line: Line, now: datetime) -> int:
    """Record what the objects of a study say of our results; return how much of it is new.

    What can't be read, or lies elsewhere, is told to the log and left where it is. Raises
    Transient where the archive is out of reach.
    """
    cases = line.ledger.cases.of_study(study.study_id)
    told = [case.case_id for case in cases if case.state in ASSESSABLE]
    foreign = list(_foreign(study, line=line, case_id=told[0])) if told else []
    new = 0
    for case_id in told if foreign else []:
        try:
            results = assessable(case_id, archive=line.archive, ledger=line.ledger)
        except (Refusal, Defect) as problem:
            telemetry.returned_unread(case_id=case_id, code=problem.code)
            continue
        new += sum(_record(ds, one, line=line, now=now) for one in results for ds in foreign)
    return new


def send_assessments(line: Line, *, now: datetime) -> None:
    """Bring what readers said of late, as SR, to the destinations that take it.

    A destination that is down is asked again at the next turn, as long as the line has patience.
    """
    since = now - line.patience.give_up_after
    for case_id in dict.fromkeys(one.case_id for one in line.ledger.assessments.since(since)):
        case = line.ledger.cases.case(case_id)
        if case.state in ASSESSABLE:
            with suppress(Transient, Refusal, Defect):  # a receipt, or the next turn, tells
                if _unsent(line, case):
                    deliver_kind(line, case, ResultKind.ASSESSMENT)


def _unsent(line: Line, case: Case) -> bool:
    """Whether a destination still lacks an assessment that it takes."""
    uids = {
        row.sop_instance_uid
        for row in line.ledger.deliveries.results(case.case_id)
        if row.kind is ResultKind.ASSESSMENT
    }
    receipts = line.ledger.deliveries.receipts(case.case_id)
    return any(
        uids - {r.sop_instance_uid for r in receipts if r.destination == one.name and r.accepted}
        for one in line.pipeline(case.pipeline).destinations
        if ResultKind.ASSESSMENT in one.takes
    )


def _record(ds: Dataset, of: Assessable, *, line: Line, now: datetime) -> int:
    """Record what one object says; one that is badly made stops nobody else's word."""
    try:
        with translated("returned-unreadable", "An object that came back is not whole."):
            said = tuple(_said(ds, of, line=line))
    except Defect as defect:
        telemetry.returned_unread(case_id=of.case_id, code=defect.code)
        return 0
    # A clock that runs ahead would let this word stand over every later one.
    new = line.ledger.assessments.record(replace(one, at=min(one.at, now)) for one in said)
    if new:
        telemetry.assessed(case_id=of.case_id, source=said[0].source)
    return new


def foreign_objects(study_id: str, *, line: Line, case_id: str) -> Iterator[Dataset]:
    """Yield the SEG and SR of a study that we have not written; `case_id` names it in the log."""
    with suppress(Refusal):
        yield from _foreign(line.archive.study(study_id), line=line, case_id=case_id)


def _foreign(study: StudySummary, *, line: Line, case_id: str) -> Iterator[Dataset]:
    for series in study.series:
        if series.modality not in RETURNING:
            continue
        try:
            instances = line.archive.series(series.series_id).instances
        except (Refusal, Defect) as why:
            telemetry.returned_unread(case_id=case_id, code=why.code)
            continue
        for instance in instances:
            try:
                part10.read(instance.content)  # nobody has bounded it yet
                ds = read_instance(instance.content)
                ours = _is_ours(ds, line)
            except Defect as defect:
                telemetry.returned_unread(case_id=case_id, code=defect.code)
            else:
                if not ours:
                    yield ds


def _is_ours(ds: Dataset, line: Line) -> bool:
    """Whether we have written an object; the page has told the ledger of its own SR itself."""
    with translated("returned-unreadable", "An object that came back is not whole."):
        if line.ledger.deliveries.is_ours(str(ds.get("SOPInstanceUID", ""))):
            return True
        return ds.get("Modality") == "SR" and str(ds.get("Manufacturer", "")) == MANUFACTURER


def _said(ds: Dataset, of: Assessable, *, line: Line) -> Iterator[Assessment]:
    """Yield what a foreign object says of a result of ours; nothing where it is about another."""
    if ds.get("Modality") == "SEG":
        yield from _edited(ds, of, line=line)
        return
    report = read_assessment(ds)
    known = {row.sop_instance_uid for row in line.ledger.deliveries.results(of.case_id)}
    if report and report.assessed & known:
        reader = stand_in(PageKey.of(line.key), person_name(report.reader))
        yield from as_assessments(report, of, reader=reader, at=moment_of(ds), source=Source.REPORT)


def _edited(ds: Dataset, of: Assessable, *, line: Line) -> Iterator[Assessment]:
    rows = [
        row
        for row in line.ledger.deliveries.results(of.case_id)
        if row.kind in SEGMENTATIONS and row.prediction_id == of.prediction_id
    ]
    if not rows:
        return
    row = rows[0]  # each encoding holds the same segments
    ours = read_instance(line.archive.result(row.sop_instance_uid, row.kind).content)
    if not is_version_of(ds, ours):
        return
    names = {one.tracking_uid: one.name for one in of.findings}
    creator = str(ds.get("ContentCreatorName") or ds.get("OperatorsName") or "")
    for one in compare(ds, ours):
        verdict, reason = _judged(one)
        yield Assessment(
            case_id=of.case_id,
            prediction_id=of.prediction_id,
            finding=names.get(one.tracking_uid, ADDED),
            verdict=verdict,
            reason=reason,
            reader=stand_in(PageKey.of(line.key), person_name(creator)),
            source=Source.SEGMENTATION,
            at=moment_of(ds),
            dice=one.dice,
            volume_mm3=one.volume_mm3,
        )


def _judged(one: EditedSegment) -> tuple[Verdict, Reason | None]:
    """Return what the reader has said by drawing."""
    if one.dice == 1:
        return Verdict.ACCEPTED, None
    if one.is_empty:
        return Verdict.REJECTED, Reason.FALSE_POSITIVE
    if one.was_empty:
        return Verdict.MODIFIED, Reason.MISSED
    return Verdict.MODIFIED, Reason.BOUNDARY if one.dice else Reason.WRONG_STRUCTURE
