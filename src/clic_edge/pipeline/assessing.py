"""What readers say of results: by a link in the result, and in objects that come back."""

from __future__ import annotations

import base64
import hmac
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.dicom.reading import read_instance
from clic_edge.domain.assessment import Assessment, Source
from clic_edge.domain.case import CaseState
from clic_edge.domain.result import ResultKind
from clic_edge.errors import ConfigError, Refusal
from clic_edge.ledger.assessments import standing
from clic_edge.pipeline.invitation import invited
from clic_edge.results.assessment import (
    AssessmentReport,
    Statement,
    findings_in,
    write_assessment,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from clic_edge.deid.page_key import PageKey
    from clic_edge.domain.assessment import Reason, Verdict
    from clic_edge.domain.result import ResultObject
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.transport import Archive
    from clic_edge.results.assessment import TrackedFinding

ASSESSED = (ResultKind.SR, ResultKind.SEG, ResultKind.SEG_LABELMAP, ResultKind.SEG_FRACTIONAL)
"""What an assessment refers to: the first of these that the case wrote."""
ASSESSABLE = (CaseState.DELIVERED, CaseState.QUARANTINED)
"""A case in quarantine may have results, too: those of its other series were delivered."""
LONGEST_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessable:
    """One result of a case, with the findings that a reader may judge."""

    case_id: str
    prediction_id: str
    result: ResultObject
    findings: tuple[TrackedFinding, ...]
    image_number: int
    """What the image is called in its series, where several of one are judged; else 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where a reader's answers are taken in."""

    archive: Archive
    ledger: Ledger
    key: PageKey
    language: str

    def open(self, token: str) -> tuple[Assessable, ...]:
        """Return what the holder of a link may judge.

        Raises
        ------
        Refusal
            ``link-unknown``: not one of ours. ``not-assessable``: the case has no result that
            counts now. Transient where the archive is out of reach.

        """
        return assessable(invited(self.key, token), archive=self.archive, ledger=self.ledger)

    def submit(
        self,
        token: str,
        *,
        reader: str,
        answers: Mapping[str, tuple[Verdict, Reason | None]],
        at: datetime,
        by: str,
    ) -> int:
        """Store a reader's answers, by Tracking UID, and return how many say something new.

        `by` is the account that sent them: it stands in the audit trail, `reader` in the report.

        The SR that says so goes into the archive before the ledger knows of it, so a failure
        halfway is repaired by sending the page again.

        Raises
        ------
        Refusal
            As `open`; ``reader-unnamed``, or ``nothing-assessed``.

        """
        name = person_name(reader)
        if not name:
            raise Refusal("reader-unnamed", "An assessment needs the name of its reader.")
        new = given = 0
        for one in self.open(token):
            report = AssessmentReport(
                reader=name,
                assessed=frozenset({one.result.sop_instance_uid}),
                statements=tuple(_statements(one, answers)),
            )
            given += len(report.statements)
            new += self._store(report, one, at=at, by=by) if report.statements else 0
        if not given:
            raise Refusal("nothing-assessed", "No finding was judged.")
        return new

    def said(self, case_id: str) -> tuple[Assessment, ...]:
        """Return what counts of all that was said of a case."""
        return standing(self.ledger.assessments.of_case(case_id))

    def _store(self, report: AssessmentReport, of: Assessable, *, at: datetime, by: str) -> int:
        """Keep a report, if anything in it is new: the same page sent twice is one."""
        reader = stand_in(self.key, report.reader)
        given = as_assessments(report, of, reader=reader, at=at)
        if not self.ledger.assessments.is_new(given):
            return 0
        sr = write_assessment(of.result, report, at=at, language=self.language)
        self.archive.keep([sr])
        told_of = {sr.sop_instance_uid: of.prediction_id}
        self.ledger.deliveries.record(of.case_id, (sr,), told_of=told_of)
        return self.ledger.assessments.record(given, by=by)


def _statements(
    of: Assessable, answers: Mapping[str, tuple[Verdict, Reason | None]]
) -> Iterator[Statement]:
    for finding in of.findings:
        if finding.tracking_uid in answers:
            verdict, reason = answers[finding.tracking_uid]
            yield Statement(tracking_uid=finding.tracking_uid, verdict=verdict, reason=reason)


def assessable(case_id: str, *, archive: Archive, ledger: Ledger) -> tuple[Assessable, ...]:
    """Return what of a delivered case can be judged, a result for each prediction.

    Raises
    ------
    Refusal
        ``not-assessable``: the case is not there, not delivered, or has no findings.

    """
    try:
        case = ledger.cases.case(case_id)
    except ConfigError as error:
        raise Refusal("not-assessable", "There is no such result.") from error
    if case.state not in ASSESSABLE:
        raise Refusal("not-assessable", f"The result is {case.state}, so it does not count now.")
    rows = [row for row in ledger.deliveries.results(case_id) if row.prediction_id]
    found = []
    for prediction_id in dict.fromkeys(row.prediction_id for row in rows):
        of_it = {row.kind: row for row in rows if row.prediction_id == prediction_id}
        row = next((of_it[kind] for kind in ASSESSED if kind in of_it), None)
        if row is not None and prediction_id:
            result = archive.result(row.sop_instance_uid, row.kind)
            report = read_instance(result.content)
            findings = findings_in(report)
            found.append(
                Assessable(
                    case_id=case_id,
                    prediction_id=prediction_id,
                    result=result,
                    findings=findings,
                    image_number=int(report.get("InstanceNumber") or 1),
                )
            )
    if not any(one.findings for one in found):
        raise Refusal("not-assessable", "The result has no finding that could be judged.")
    return tuple(sorted(found, key=lambda one: one.image_number))


def as_assessments(
    report: AssessmentReport,
    of: Assessable,
    *,
    reader: str,
    at: datetime,
    source: Source = Source.PAGE,
) -> tuple[Assessment, ...]:
    """Return a report's statements as the ledger keeps them; what the result does not name is left out."""
    names = {one.tracking_uid: one.name for one in of.findings}
    return tuple(
        Assessment(
            case_id=of.case_id,
            prediction_id=of.prediction_id,
            finding=names[one.tracking_uid],
            verdict=one.verdict,
            reason=one.reason,
            reader=reader,
            source=source,
            at=at,
        )
        for one in report.statements
        if one.tracking_uid in names
    )


def stand_in(key: PageKey, reader: str) -> str:
    """Return the keyed name of a reader: the same reader has the same, and it names nobody."""
    mark = hmac.digest(key.reader, reader.casefold().encode(), "sha256")[:10]
    return f"CE-R-{base64.b32encode(mark).decode()}" if reader else "unknown"


def person_name(text: str) -> str:
    """Return what was typed as a Person Name component group: no control or structural characters."""
    plain = unicodedata.normalize("NFC", text)
    kept = [
        " " if one in "\\=\t\n\r" else one for one in plain if one.isprintable() or one.isspace()
    ]
    return " ".join("".join(kept).split())[:LONGEST_NAME]
