"""What comes back into a study: our segmentation as a reader edited it, and assessments as SR."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.dicom.reading import read_instance
from clic_edge.domain.assessment import ADDED, Assessment, Reason, Source, Verdict
from clic_edge.domain.case import CaseState
from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect, Refusal, Transient
from clic_edge.pipeline.assessing import as_assessments, assessable, person_name, stand_in
from clic_edge.pipeline.delivery import confirm, deliver
from clic_edge.results.assessment import read_assessment
from clic_edge.results.edited import EditedSegment, compare, is_version_of
from clic_edge.results.provenance import moment_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pydicom.dataset import Dataset

    from clic_edge.domain.case import Case
    from clic_edge.pipeline.assessing import Assessable
    from clic_edge.pipeline.line import Line

SEGMENTATIONS = (ResultKind.SEG, ResultKind.SEG_LABELMAP, ResultKind.SEG_FRACTIONAL)
RETURNING = {"SEG", "SR"}
"""Modality (0008,0060) of what may say something of a result."""


def take_back(study_id: str, *, line: Line) -> int:
    """Record what the objects of a study say of our results; return how much of it is new.

    What can't be read, or lies elsewhere, is told to the log and left where it is. Raises
    Transient where the archive is out of reach.
    """
    cases = line.ledger.cases.of_study(study_id)
    delivered = [case.case_id for case in cases if case.state is CaseState.DELIVERED]
    foreign = list(_foreign(study_id, delivered, line=line)) if delivered else []
    new = 0
    for case_id in delivered if foreign else []:
        try:
            results = assessable(case_id, archive=line.archive, ledger=line.ledger)
        except (Refusal, Defect) as problem:
            telemetry.returned_unread(case_id=case_id, code=problem.code)
            continue
        new += sum(_record(ds, one, line=line) for one in results for ds in foreign)
    return new


def send_assessments(line: Line, *, now: datetime) -> None:
    """Bring what readers said of late, as SR, to the destinations that take it.

    A destination that is down is asked again at the next turn, as long as the line has patience.
    """
    since = now - line.patience.give_up_after
    for case_id in dict.fromkeys(one.case_id for one in line.ledger.assessments.since(since)):
        case = line.ledger.cases.case(case_id)
        if case.state is CaseState.DELIVERED:
            with suppress(Transient, Refusal, Defect):  # a receipt, or the next turn, tells
                if _unsent(line, case):
                    deliver(line, case)
                    confirm(line, case)


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


def _record(ds: Dataset, of: Assessable, *, line: Line) -> int:
    try:
        said = tuple(_said(ds, of, line=line))
    except Defect as defect:
        telemetry.returned_unread(case_id=of.case_id, code=defect.code)
        return 0
    new = line.ledger.assessments.record(said)
    if new:
        telemetry.assessed(case_id=of.case_id, source=said[0].source)
    return new


def _foreign(study_id: str, case_ids: list[str], *, line: Line) -> Iterator[Dataset]:
    """Yield the SEG and SR of a study that we have not written."""
    ours = {
        row.sop_instance_uid
        for case_id in case_ids
        for row in line.ledger.deliveries.results(case_id)
    }
    with suppress(Refusal):
        for series in line.archive.study(study_id).series:
            if series.modality not in RETURNING:
                continue
            for instance in line.archive.series(series.series_id).instances:
                try:
                    ds = read_instance(instance.content)
                except Defect as defect:
                    telemetry.returned_unread(case_id=case_ids[0], code=defect.code)
                else:
                    if str(ds.get("SOPInstanceUID")) not in ours:
                        yield ds


def _said(ds: Dataset, of: Assessable, *, line: Line) -> Iterator[Assessment]:
    """Yield what a foreign object says of a result of ours; nothing where it is about another."""
    if ds.get("Modality") == "SEG":
        yield from _edited(ds, of, line=line)
        return
    report = read_assessment(ds)
    known = {row.sop_instance_uid for row in line.ledger.deliveries.results(of.case_id)}
    if report and report.assessed & known:
        reader = stand_in(line.key, person_name(report.reader))
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
            reader=stand_in(line.key, person_name(creator)),
            source=Source.SEGMENTATION,
            at=moment_of(ds),
            dice=one.dice,
            volume_mm3=one.volume_mm3,
        )


def _judged(one: EditedSegment) -> tuple[Verdict, Reason | None]:
    """Return what the reader has said by drawing."""
    if one.dice == 1:
        return Verdict.ACCEPTED, None
    if not one.volume_mm3:
        return Verdict.REJECTED, Reason.FALSE_POSITIVE
    if one.was_empty:
        return Verdict.MODIFIED, Reason.MISSED
    return Verdict.MODIFIED, Reason.BOUNDARY if one.dice else Reason.WRONG_STRUCTURE
