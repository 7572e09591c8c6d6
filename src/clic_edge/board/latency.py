"""How long the stages of a model's cases took, day by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from clic_edge.domain.deadline import Kept  # noqa: TC001 - the API reads the annotations

if TYPE_CHECKING:
    from clic_edge.ledger import Ledger

_YEAR: Final = timedelta(days=366)
MOST: Final = 8000
"""Predictions whose cases are looked at, the newest of the period: a page answers in a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyDay:
    """A stage on one day."""

    day: date
    n: int
    p50: float
    p95: float
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLatency:
    """A stage over the days."""

    stage: str
    n: int
    p50: float
    p95: float
    """Seconds, over the whole period."""
    days: tuple[LatencyDay, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Every stage."""

    since: datetime
    """Of what is looked at."""
    until: datetime
    is_cut: bool
    """There is more in the period than a page can look at."""
    stages: tuple[StageLatency, ...]
    """The slowest first."""
    deadlines: tuple[Kept, ...]
    """Of the pipelines that name the model, of the last year, the newest month first."""


def latency(ledger: Ledger, digest: str, *, days: int, now: datetime) -> Latency:
    """Return how long the stages of a model's cases took in the last days."""
    begin = now - timedelta(days=days)
    since = ledger.traffic.newest(digest, begin, most=MOST) or begin
    stages: dict[str, dict[date, list[float]]] = {}
    for one in ledger.traffic.stage_times(digest, since):
        stages.setdefault(one.stage, {}).setdefault(one.at.date(), []).append(one.seconds)
    found = [_stage(name, by_day) for name, by_day in stages.items()]
    return Latency(
        since=since,
        until=now,
        is_cut=since > begin,
        stages=tuple(sorted(found, key=lambda one: (-one.p50, one.stage))),
        deadlines=_deadlines(ledger, digest, now),
    )


def _deadlines(ledger: Ledger, digest: str, now: datetime) -> tuple[Kept, ...]:
    placed = [one.placement for one in ledger.standing.history()]
    own = {one.pipeline for one in placed if one.digest == digest}
    return tuple(one for one in ledger.deadlines.kept(now - _YEAR, now) if one.pipeline in own)


def _stage(name: str, by_day: dict[date, list[float]]) -> StageLatency:
    everything = [value for values in by_day.values() for value in values]
    p50, p95 = _percentiles(everything)
    days = []
    for day, values in sorted(by_day.items()):
        low, high = _percentiles(values)
        days.append(LatencyDay(day=day, n=len(values), p50=low, p95=high))
    return StageLatency(stage=name, n=len(everything), p50=p50, p95=p95, days=tuple(days))


def _percentiles(values: list[float]) -> tuple[float, float]:
    low, high = np.percentile(values, [50, 95])
    return float(low), float(high)
