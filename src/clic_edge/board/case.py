"""One case: what it went through, what was found, what was sent and who took it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the API reads the annotations
from typing import TYPE_CHECKING, Final

from clic_edge.board.cases import CaseLine, case_line, seconds_of
from clic_edge.domain.assessment import Reason, Verdict  # noqa: TC001 - as above
from clic_edge.domain.case import Priority  # noqa: TC001 - as above
from clic_edge.domain.clean import SeriesCertificate  # noqa: TC001 - as above
from clic_edge.domain.result import Receipt, ResultKind
from clic_edge.errors import ConfigError
from clic_edge.ledger.cases import RETRYABLE
from clic_edge.ledger.deliveries import was_taken
from clic_edge.ledger.withdrawals import STAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.domain.case import Case
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.deliveries import ResultRow
    from clic_edge.ledger.predictions import PredictionRow

STAGES: Final = ("accept", "predict", "write", "deliver", "confirm", "finish")
"""The stages of the line, in their order."""
FOUND: Final = ("output.", "agreement.")
_CASE_ID: Final = re.compile(r"[0-9A-Za-z._-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """How long a stage took at its last run; `waiting` for what was no stage."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedPart:
    """Why one series of a case, or one image of it, has no result."""

    series: int
    """Position among the series of the case, from 1; 0 of one that it has no more."""
    image: int
    """Position in the series, from 1; 0 for all of it."""
    code: str
    reason: str
    withheld: bool
    """A defect: a person looks at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number that was found."""

    name: str
    """As in the prediction log, without its first word."""
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What one model says of one series, or one image of it."""

    prediction_id: str
    model_id: str
    model_version: str
    model_digest: str
    device: str
    at: datetime
    is_told: bool
    """Readers are told of it now; else it is of a model in the shadow, or was said earlier."""
    numbers: tuple[Number, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentObject:
    """A result object, and what each destination answered."""

    kind: ResultKind
    sop_instance_uid: str
    prediction_id: str | None
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a reader says of a finding."""

    at: datetime
    reader: str
    """Keyed stand-in."""
    finding: str
    verdict: Verdict
    reason: Reason | None
    dice: float | None
    """Of the reader's own segment with ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """That a person withdrew the results, and who knows."""

    at: datetime
    person: str
    reason: str
    told_at: datetime | None
    """When every destination that takes rejection notes had this one's; None before."""
    hindrance: str
    """Code of what kept it from being told at the last try; empty where nothing did."""
    untold: tuple[str, ...]
    """Destinations that hold results and have not accepted the note: a person removes them there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One thing that happened to the case."""

    at: datetime
    action: str
    person: str
    """Empty of what the appliance did by itself."""
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseCertificate:
    """How the series of a case were made clean before models saw them; each is signed by itself."""

    case_id: str
    series: tuple[SeriesCertificate, ...]
    """None of a case that no model saw, or that was seen before such certificates were kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDetail:
    """Everything that the appliance knows of a case; nobody is named."""

    line: CaseLine
    series: int
    """How many series it is of."""
    attempt: int
    started_at: datetime | None
    next_attempt_at: datetime | None
    priority: Priority
    due_at: datetime | None
    """When the result should be there; None where its pipeline promises nothing."""
    in_time: bool | None
    """Whether it was; None while there is none."""
    subjects: tuple[str, ...]
    """Keyed stand-ins of whose the images are."""
    stages: tuple[StageTime, ...]
    refused: tuple[RefusedPart, ...]
    cleaned: tuple[SeriesCertificate, ...]
    opinions: tuple[Opinion, ...]
    """Those that readers are told of first."""
    objects: tuple[SentObject, ...]
    assessments: tuple[Judged, ...]
    history: tuple[Happened, ...]
    withdrawal: TakenBack | None
    can_retry: bool
    can_send_again: bool
    can_withdraw: bool


def case_detail(ledger: Ledger, case_id: str) -> CaseDetail:
    """Return a case. Raises ConfigError ``no-such-case``, whatever characters the name has."""
    if not _CASE_ID.fullmatch(case_id):
        raise ConfigError("no-such-case", "There is no such case.")
    case = ledger.cases.case(case_id)
    told = ledger.deliveries.models(case_id)
    seen = ledger.predictions.of_one_case(case_id)
    opinions = sorted((_opinion(one, told) for one in seen), key=lambda one: not one.is_told)
    return CaseDetail(
        line=case_line(ledger, case),
        series=len(case.series_ids),
        attempt=case.attempt,
        started_at=case.started_at,
        next_attempt_at=case.next_attempt_at,
        priority=case.priority,
        due_at=case.due_at,
        in_time=case.result_at <= case.due_at if case.due_at and case.result_at else None,
        subjects=tuple(sorted({one.subject_id for one in seen})),
        stages=tuple(_stages(case, dict(ledger.records.stages(case_id)))),
        refused=_refused(ledger, case),
        cleaned=ledger.certificates.of_case(case_id),
        opinions=tuple(opinions),
        objects=_objects(ledger, case_id),
        assessments=tuple(
            Judged(**{name: getattr(one, name) for name in Judged.__slots__})
            for one in ledger.assessments.of_case(case_id)
        ),
        history=tuple(
            Happened(**{name: getattr(one, name) for name in Happened.__slots__})
            for one in ledger.records.audit(case_id)
        ),
        withdrawal=_withdrawal(ledger, case_id),
        can_retry=case.state in RETRYABLE and bool(case.series_ids),
        can_send_again=ledger.deliveries.can_send_again(case_id),
        can_withdraw=ledger.withdrawals.can(case_id),
    )


def case_certificate(ledger: Ledger, case_id: str) -> CaseCertificate:
    """Return the certificate of a case; raises as `case_detail`."""
    detail = case_detail(ledger, case_id)
    return CaseCertificate(case_id=case_id, series=detail.cleaned)


def _stages(case: Case, seconds: dict[str, float]) -> Iterator[StageTime]:
    """Yield the stages, and before them what of the time was none: together as long as the case."""
    passed = seconds_of(case)
    waited = 0.0 if passed is None or not seconds else passed - sum(seconds.values())
    if waited > 0:
        yield StageTime(name="waiting", seconds=waited)
    yield from (StageTime(name=one, seconds=seconds[one]) for one in STAGES if one in seconds)


def _refused(ledger: Ledger, case: Case) -> tuple[RefusedPart, ...]:
    place = {series_id: number for number, series_id in enumerate(case.series_ids, start=1)}
    return tuple(
        RefusedPart(
            series=place.get(one.series_id, 0),
            image=one.image,
            code=one.code,
            reason=one.reason,
            withheld=one.withheld,
        )
        for one in ledger.deliveries.refusals(case.case_id)
    )


def _opinion(row: PredictionRow, told: frozenset[str]) -> Opinion:
    return Opinion(
        prediction_id=row.prediction_id,
        model_id=row.model_id,
        model_version=row.model_version,
        model_digest=row.model_digest,
        device=row.device,
        at=row.created_at,
        is_told=row.model_digest in told,
        numbers=tuple(
            Number(name=one.name.removeprefix("output."), value=one.number)
            for one in row.features
            if one.number is not None and one.name.startswith(FOUND)
        ),
    )


def _withdrawal(ledger: Ledger, case_id: str) -> TakenBack | None:
    known = ledger.withdrawals.of_case(case_id)
    if known is None:
        return None
    kinds = {row.sop_instance_uid: row.kind for row in ledger.deliveries.results(case_id)}
    receipts = ledger.deliveries.receipts(case_id)
    taken = [one for one in receipts if was_taken(one)]
    holding = {one.destination for one in taken if kinds.get(one.sop_instance_uid) not in STAYS}
    told = {
        one.destination for one in taken if kinds.get(one.sop_instance_uid) is ResultKind.REJECTION
    }
    return TakenBack(
        at=known.at,
        person=known.person,
        reason=known.reason,
        told_at=known.told_at,
        hindrance=known.hindrance,
        untold=tuple(sorted(holding - told)),
    )


def _objects(ledger: Ledger, case_id: str) -> tuple[SentObject, ...]:
    receipts = ledger.deliveries.receipts(case_id)

    def sent(row: ResultRow) -> SentObject:
        own = tuple(one for one in receipts if one.sop_instance_uid == row.sop_instance_uid)
        return SentObject(
            kind=row.kind,
            sop_instance_uid=row.sop_instance_uid,
            prediction_id=row.prediction_id,
            receipts=own,
        )

    return tuple(sent(row) for row in ledger.deliveries.results(case_id))
