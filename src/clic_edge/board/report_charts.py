"""The charts of a model in a span: their days, limits, designed false alarms and delays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING

from clic_edge.board.numbers import finite
from clic_edge.domain.monitoring import Channel, Direction  # noqa: TC001 - pydantic reads the annotations
from clic_edge.drift.plan import plan_charts
from clic_edge.drift.reference import channel_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.domain.monitoring import ChartPoint, Reference
    from clic_edge.drift.plan import Chart, Plan, Policy
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.periods import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceReport:
    """What a scanner's studies are compared with."""

    name: str
    version: int
    scanner: str
    observations: int
    frozen_at: datetime
    frozen_by: str
    sealed: str
    """SHA-256 of its content."""
    provisional: bool
    """Too small: its alarms are advisory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayReport:
    """How many points a chart needs, on average, to see a change."""

    change: float
    """In sd of one point; of a share, the share that it changes to."""
    points: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayPoint:
    """One day of a chart."""

    day: date
    n: int
    value: float | None
    """Mean of the day, in the feature's unit."""
    sum: float | None
    """The largest of the day: what is held against the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartReport:
    """One side of one chart."""

    feature: str
    is_share: bool
    """Of the commonest word of the reference, which is left out here."""
    direction: Direction
    channel: Channel
    scanner: str
    kind: str
    limit: float
    false_alarms_per_year: float
    """By design."""
    delays: tuple[DelayReport, ...]
    provisional: bool
    highest: float | None
    """The largest sum of the span, as a share of the limit; None without a point."""
    days: tuple[DayPoint, ...]


def charted(
    ledger: Ledger, digest: str, span: Span, *, policy: Policy
) -> tuple[tuple[ReferenceReport, ...], tuple[ChartReport, ...]]:
    """Return a model's references, and every chart with its days in a span.

    The charts that came nearest to their limits come first.
    """
    frozen = [one for one in ledger.monitoring.references(digest) if one.frozen_at < span.until]
    newest = {one.stratum: one for one in frozen}.values()
    planned = [(one, plan_charts(one, policy)) for one in newest]
    charts = [
        _chart(chart, one, days.get((chart.name, chart.direction), []))
        for one, plan in planned
        for days in [_points(ledger, one, span)]
        for chart in plan.charts
    ]
    charts.sort(key=lambda it: (-(it.highest or 0), it.scanner, it.feature, it.direction))
    return tuple(_reference(one, plan) for one, plan in planned), tuple(charts)


def _reference(one: Reference, plan: Plan) -> ReferenceReport:
    return ReferenceReport(
        name=one.name,
        version=one.version,
        scanner=str(one.stratum),
        observations=one.observations,
        frozen_at=one.frozen_at,
        frozen_by=one.frozen_by,
        sealed=one.digest,
        provisional=any(it.design.provisional for it in plan.charts),
    )


def _points(
    ledger: Ledger, one: Reference, span: Span
) -> dict[tuple[str, Direction], list[ChartPoint]]:
    last = (span.until - timedelta(microseconds=1)).date()
    found: dict[tuple[str, Direction], list[ChartPoint]] = {}
    for point in ledger.monitoring.points(one.reference_id, since=span.since.date()):
        if point.day <= last:
            found.setdefault((point.chart, point.direction), []).append(point)
    return found


def _chart(chart: Chart, reference: Reference, points: Sequence[ChartPoint]) -> ChartReport:
    sums = [one.statistic for one in points if isfinite(one.statistic)]
    return ChartReport(
        feature=chart.feature,
        is_share=chart.word is not None,
        direction=chart.direction,
        channel=channel_of(chart.feature),
        scanner=str(reference.stratum),
        kind=str(chart.design.kind),
        limit=chart.limit,
        false_alarms_per_year=chart.design.false_alarms_per_year,
        delays=tuple(
            DelayReport(change=one.change, points=finite(one.points)) for one in chart.design.delays
        ),
        provisional=chart.design.provisional,
        highest=max(sums) / chart.limit if sums and chart.limit > 0 else None,
        days=tuple(
            DayPoint(day=one.day, n=one.n, value=finite(one.value), sum=finite(one.statistic))
            for one in points
        ),
    )
