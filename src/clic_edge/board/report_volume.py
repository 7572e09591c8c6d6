"""How much a model had to do, what became of it, and how long it took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.case import CaseState
from clic_edge.domain.standing import ModelState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clic_edge.domain.standing import StateEvent
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.periods import CameIn, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeShare:
    """How often a code was the reason."""

    code: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayVolume:
    """The cases received on a day, by what they are now."""

    day: date
    delivered: int
    refused: int
    failed: int
    other: int
    """Superseded, or not ended yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Cases that were the model's, and series that it looked at."""

    received: int
    delivered: int
    refused: int
    failed: int
    """In quarantine: a person must look."""
    superseded: int
    open: int
    series_analysed: int
    series_refused: int
    series_failed: int
    refusals: tuple[CodeShare, ...]
    """Of series, the commonest first."""
    failures: tuple[CodeShare, ...]
    """Of series and of cases."""
    seconds_p50: float | None
    seconds_p95: float | None
    """From a study's arrival to the delivery of its results."""
    days: tuple[DayVolume, ...]


def volume_of(ledger: Ledger, digest: str, span: Span, *, events: Sequence[StateEvent]) -> Volume:
    """Return what a model had to do: cases that came while it was active, or that it answered."""
    touched = ledger.periods.touched(digest, span)
    own = [
        one
        for one in ledger.periods.cases(span)
        if one.case_id in touched or _was_active(events, one.pipeline, one.received_at)
    ]
    states = Counter(one.state for one in own)
    codes = ledger.periods.refusals(digest, span)
    quarantined = Counter(one.code for one in own if one.state is CaseState.QUARANTINED)
    broken = Counter({one.code: one.count for one in codes if one.failed}) + quarantined
    seconds = [
        (one.updated_at - one.received_at).total_seconds()
        for one in own
        if one.state is CaseState.DELIVERED
    ]
    return Volume(
        received=len(own),
        delivered=states[CaseState.DELIVERED],
        refused=states[CaseState.REFUSED],
        failed=states[CaseState.QUARANTINED],
        superseded=states[CaseState.SUPERSEDED],
        open=sum(not one.state.is_end for one in own),
        series_analysed=ledger.periods.analysed(digest, span),
        series_refused=sum(one.count for one in codes if not one.failed),
        series_failed=sum(one.count for one in codes if one.failed),
        refusals=_shares(Counter({one.code: one.count for one in codes if not one.failed})),
        failures=_shares(broken),
        seconds_p50=float(np.percentile(seconds, 50)) if seconds else None,
        seconds_p95=float(np.percentile(seconds, 95)) if seconds else None,
        days=_days(own),
    )


def _was_active(events: Iterable[StateEvent], pipeline: str, at: datetime) -> bool:
    """Whether the model was active, or suspended, in a pipeline at a moment."""
    before = [one for one in events if one.placement.pipeline == pipeline and one.at <= at]
    return bool(before) and before[-1].now in {ModelState.ACTIVE, ModelState.SUSPENDED}


def _shares(counts: Counter[str]) -> tuple[CodeShare, ...]:
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return tuple(CodeShare(code=code, count=count) for code, count in ranked)


def _days(own: Iterable[CameIn]) -> tuple[DayVolume, ...]:
    by_day: dict[date, Counter[CaseState]] = {}
    for one in own:
        by_day.setdefault(one.received_at.date(), Counter())[one.state] += 1
    named = (CaseState.DELIVERED, CaseState.REFUSED, CaseState.QUARANTINED)
    return tuple(
        DayVolume(
            day=day,
            delivered=counts[CaseState.DELIVERED],
            refused=counts[CaseState.REFUSED],
            failed=counts[CaseState.QUARANTINED],
            other=sum(count for state, count in counts.items() if state not in named),
        )
        for day, counts in sorted(by_day.items())
    )
