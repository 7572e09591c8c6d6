"""Constancy: how the runs of each protocol went, the trends of what they measured, and reports."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Final

from clic_edge.domain.constancy import (  # noqa: TC001 - FastAPI reads the annotations
    Compared,
    Day,
    KeptReport,
    Run,
    TrendPoint,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.ledger import Ledger

LISTED: Final = 20
"""Runs that are listed; the calendar leads to the others."""
MOST_TRENDS: Final = 24
"""Quantities of one case."""
_BASELINE: Final = 20
"""Runs whose mean and sd a quantity is held against that has no tolerance."""
_SDS: Final = 3.0
"""Where the tolerance lies, in sd of the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What part of it somebody wants to see."""

    days: int = 90
    protocol: str = ""
    case: str = ""
    """Of the protocol, whose trends are shown; the first where nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run of a protocol."""

    run_id: str
    started_at: datetime
    started_by: str
    seconds: float | None
    """None while it runs."""
    verdict: Verdict
    commissions: bool
    """It makes the record that later runs are held against."""
    model_id: str
    model_version: str
    model_digest: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A quantity over the runs, for a Levey-Jennings chart."""

    case: str
    quantity: str
    unit: str
    mean: float
    """What is expected; where nothing is, the mean of the first twenty runs."""
    sd: float
    """A third of the tolerance; where there is none, the sd of the first twenty runs."""
    by_tolerance: bool
    points: tuple[TrendPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constancy:
    """Everything of it."""

    first: date
    last: date
    protocols: tuple[str, ...]
    protocol: str
    """The one that is shown; empty where none has run."""
    newest: RunRow | None
    """Of the runs that were held against a record."""
    under_way: bool
    """A run of any protocol has not ended."""
    days: tuple[Day, ...]
    runs: tuple[RunRow, ...]
    """The newest first."""
    cases: tuple[str, ...]
    case: str
    trends: tuple[Trend, ...]
    reports: tuple[KeptReport, ...]
    """Acceptance reports, the newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResults:
    """One run with all that it compared."""

    run: RunRow
    results: tuple[Compared, ...]
    """What failed first."""


def constancy(ledger: Ledger, wanted: Wanted, *, now: datetime) -> Constancy:
    """Return how constancy went in the last days."""
    since = now - timedelta(days=wanted.days)
    known = ledger.constancy.runs(since=now - timedelta(days=max(wanted.days, 366)))
    names = tuple(sorted({one.protocol for one in known}))
    name = wanted.protocol if wanted.protocol in names else next(iter(names), "")
    own = [one for one in reversed(known) if one.protocol == name]
    quantities = ledger.constancy.quantities(name) if name else ()
    cases = tuple(dict.fromkeys(case for case, _, _ in quantities))
    case = wanted.case if wanted.case in cases else next(iter(cases), "")
    return Constancy(
        first=since.date(),
        last=now.date(),
        protocols=names,
        protocol=name,
        newest=next((_row(one) for one in own if one.record_id), None),
        under_way=any(one.ended_at is None for one in known),
        days=ledger.constancy.calendar(name, first=since.date(), last=now.date()) if name else (),
        runs=tuple(_row(one) for one in own[:LISTED]),
        cases=cases,
        case=case,
        trends=tuple(
            _trend(ledger, name, one, since=since) for one in quantities if one[0] == case
        )[:MOST_TRENDS],
        reports=tuple(reversed(ledger.constancy.reports())),
    )


def run_results(ledger: Ledger, run_id: str) -> RunResults | None:
    """Return one run with its results, None where there is none of that id."""
    found = next((one for one in ledger.constancy.runs() if one.run_id == run_id), None)
    if found is None:
        return None
    results = sorted(ledger.constancy.results(run_id), key=lambda one: one.passed)
    return RunResults(run=_row(found), results=tuple(results))


def _row(run: Run) -> RunRow:
    return RunRow(
        run_id=run.run_id,
        started_at=run.started_at,
        started_by=run.started_by,
        seconds=(run.ended_at - run.started_at).total_seconds() if run.ended_at else None,
        verdict=run.verdict,
        commissions=run.record_id is None,
        model_id=run.model_id,
        model_version=run.model_version,
        model_digest=run.model_digest,
        reason=run.reason,
    )


def _trend(ledger: Ledger, protocol: str, named: tuple[str, str, str], *, since: datetime) -> Trend:
    case, quantity, unit = named
    found = ledger.constancy.trend(protocol, case=case, quantity=quantity, since=since)
    points = tuple(one for one in found if isfinite(one.value))
    mean, sd, by_tolerance = _scale(points)
    return Trend(
        case=case,
        quantity=quantity,
        unit=unit,
        mean=mean,
        sd=sd,
        by_tolerance=by_tolerance,
        points=points,
    )


def _scale(points: Sequence[TrendPoint]) -> tuple[float, float, bool]:
    judged = [one for one in points if one.expected is not None and one.tolerance is not None]
    if judged:
        newest = judged[-1]
        return newest.expected or 0.0, (newest.tolerance or 0.0) / _SDS, True
    values = [one.value for one in points[:_BASELINE]]
    if not values:
        return 0.0, 0.0, False
    return statistics.fmean(values), statistics.pstdev(values), False
