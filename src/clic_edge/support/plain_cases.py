"""Cases as they may leave the site: times, codes and numbers, under handles of the bundle's own."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - pydantic reads the annotation
from typing import TYPE_CHECKING, Final

from clic_edge.errors import Transient
from clic_edge.pacs.technical import TechnicalSeries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clic_edge.domain.case import Case
    from clic_edge.ledger import Ledger

MOST_CASES: Final = 500
"""Of the newest, and of those that are held."""


class Handles:
    """Stand-ins under a key that is forgotten with the bundle: the same thing has the same one."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def case(self, case_id: str) -> str:
        """Return the stand-in of a case."""
        return self._of("case", case_id)

    def series(self, series_id: str) -> str:
        """Return the stand-in of a series."""
        return self._of("series", series_id)

    def study(self, study_id: str) -> str:
        """Return the stand-in of a study."""
        return self._of("study", study_id)

    def result(self, uid: str) -> str:
        """Return the stand-in of a result object."""
        return self._of("object", uid)

    def _of(self, kind: str, value: str) -> str:
        digest = hmac.new(self._key, f"{kind}\n{value}".encode(), hashlib.sha256).hexdigest()
        return f"{kind}-{digest[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainStep:
    """One thing that happened to a case: neither who did it nor what they said."""

    at: datetime
    action: str
    by_a_person: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainStage:
    """One stage of a case."""

    stage: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainReceipt:
    """What a destination answered."""

    object: str
    kind: str
    sop_class_uid: str
    destination: str
    accepted: bool
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRefusal:
    """Why a series of a case was not analysed."""

    series: str
    image: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainCase:
    """One case."""

    case: str
    study: str
    series: tuple[str, ...]
    pipeline: str
    state: str
    code: str
    reason: str
    """The sentence of the code; empty where a person wrote it."""
    attempt: int
    received_at: datetime
    started_at: datetime | None
    updated_at: datetime
    next_attempt_at: datetime | None
    stages: tuple[PlainStage, ...]
    timeline: tuple[PlainStep, ...]
    receipts: tuple[PlainReceipt, ...]
    refusals: tuple[PlainRefusal, ...]
    images: tuple[TechnicalSeries, ...]
    """Of a case that was named: what its series are made of."""


def plain_case(
    ledger: Ledger,
    case: Case,
    handles: Handles,
    *,
    look: Callable[[str], TechnicalSeries | None] | None = None,
) -> PlainCase:
    """Return a case without identity; `look` reads what a series is made of, where it can."""
    technical: list[TechnicalSeries] = []
    with suppress(Transient):  # the archive is away, as the health of the bundle tells
        technical += [found for one in case.series_ids if look and (found := look(one))]
    return PlainCase(
        case=handles.case(case.case_id),
        study=handles.study(case.study_id),
        series=tuple(handles.series(one) for one in case.series_ids),
        pipeline=case.pipeline,
        state=case.state,
        code=case.code,
        reason=case.reason if case.code else "",
        attempt=case.attempt,
        received_at=case.received_at,
        started_at=case.started_at,
        updated_at=case.updated_at,
        next_attempt_at=case.next_attempt_at,
        stages=tuple(
            PlainStage(stage=name, seconds=seconds)
            for name, seconds in ledger.records.stages(case.case_id)
        ),
        timeline=tuple(
            PlainStep(at=one.at, action=one.action, by_a_person=bool(one.person))
            for one in ledger.records.audit(case.case_id)
        ),
        receipts=tuple(_receipts(ledger, case, handles)),
        refusals=tuple(
            PlainRefusal(series=handles.series(one.series_id), image=one.image, code=one.code)
            for one in ledger.deliveries.refusals(case.case_id)
        ),
        images=tuple(_renamed(one, handles) for one in technical),
    )


def _receipts(ledger: Ledger, case: Case, handles: Handles) -> Iterator[PlainReceipt]:
    rows = {one.sop_instance_uid: one for one in ledger.deliveries.results(case.case_id)}
    for one in ledger.deliveries.receipts(case.case_id):
        if row := rows.get(one.sop_instance_uid):
            yield PlainReceipt(
                object=handles.result(one.sop_instance_uid),
                kind=row.kind,
                sop_class_uid=row.sop_class_uid,
                destination=one.destination,
                accepted=one.accepted,
                status=one.status,
            )


def _renamed(series: TechnicalSeries, handles: Handles) -> TechnicalSeries:
    return TechnicalSeries(
        series_id=handles.series(series.series_id),
        instances=series.instances,
        images=series.images,
    )
