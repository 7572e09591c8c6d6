"""Where the limits of a chart lie: from the false alarms that one is ready to have in a year.

A limit that is right for known mean and sd alarms too often when both were estimated from a
baseline. Here the rate of false alarms is averaged over what the estimates may be wrong by, and
the limit set where that average is what was asked for (for CUSUM: Jones, Champ and Rigdon,
Technometrics 2004, 46:1-13). Beside every limit stands how long the chart needs to see a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from math import ceil, exp, log, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaincinv

from clic_edge.drift.run_length import (
    Weights,
    bernoulli_run_length,
    cusum_run_length,
    ewma_run_length,
    g_run_length,
    gap_for,
    shewhart_run_length,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SHIFTS = (0.5, 1.0, 2.0)
"""In sd of one point: the changes for which a delay is shown."""
FACTORS = (2.0, 4.0)
"""Of the odds: the changes of a rate for which a delay is shown."""
K = 0.25
"""Of a CUSUM: half of the shift that it sees soonest. One of 1 sd is seen four studies later than
with 1/2, one of a quarter in a quarter of the time."""
SMALLEST_K = 0.15
"""Below, a mean that is estimated a little wrong would be taken for a shift."""
EWMA_WEIGHT = 0.2
POINTS_FOR_A_BASELINE = 100
STUDIES_FOR_A_BASELINE = 300
_LIMITS = (0.2, 80.0)
_WIDER = 1.2
"""By so much the limit is widened first in search of the one that is asked for."""
_SIDES = 2
_NODES = (7, 5)
_RATE_NODES = 5
_KEPT = 4096
_SMALLEST_BLOCK = 10
_FEWEST_BLOCKS = 20
_STEP = 1.15
"""Between the dependences that are told apart: charts of one dependence share a design."""
_ROUNDING = 0.5


class Kind(StrEnum):
    """The kinds of charts."""

    CUSUM = "cusum"
    EWMA = "ewma"
    SHEWHART = "shewhart"
    RATE = "rate"
    """Bernoulli CUSUM."""
    GAPS = "gaps"
    """g-chart: cases between failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """How long a chart needs, on average, to see a change of some size."""

    change: float
    """In sd of one point; of a rate, the rate that it changes to."""
    points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A chart's limit, what it costs in false alarms, and what it buys in delay."""

    kind: Kind
    limit: float
    """Of the chart's statistic; cases between two failures for `Kind.GAPS`."""
    k: float = 0.0
    """Of a CUSUM: what each point must exceed to raise the sum."""
    points_per_year: float
    false_alarms_per_year: float
    """On average over what the baseline's estimates may be wrong by."""
    delays: tuple[Delay, ...]
    provisional: bool
    """The baseline is too small: alarms are advisory."""


def is_provisional(baseline: int, *, studies_per_point: float = 1.0) -> bool:
    """Whether so many studies are too few: less than a hundred points, or three hundred studies.

    From a hundred points on, the estimated mean is wrong by at most a tenth of a point's sd.
    """
    return baseline < max(STUDIES_FOR_A_BASELINE, POINTS_FOR_A_BASELINE * studies_per_point)


def dependence_of(points: NDArray[np.float64], per_day: float) -> float:
    """Return how much more the means of a day's points vary than those of independent points.

    From points in their order, cut into blocks of a day, or ten; at least 1, and rounded to
    one of few steps. Studies of a day share scanner, staff and weather.
    """
    size = min(max(int(per_day), _SMALLEST_BLOCK), len(points) // _FEWEST_BLOCKS)
    whole = points[: len(points) // max(size, 1) * size]
    if size < _SIDES or whole.var() == 0:
        return 1.0
    found = size * whole.reshape(-1, size).mean(axis=1).var(ddof=1) / whole.var()
    return float(_STEP ** max(0, ceil(log(max(found, 1.0)) / log(_STEP) - _ROUNDING)))


@lru_cache(_KEPT)
def design_numbers(
    kind: Kind,
    *,
    baseline: int,
    points_per_year: float,
    false_alarms_per_year: float = 1.0,
    dependence: float = 1.0,
) -> Design:
    """Return a two-sided chart of points that a baseline of so many points standardises.

    Where points depend on each other, they are divided by the root of their `dependence` too, and
    so is what a baseline of them tells: `changes` stay in sd of a single point.
    """
    one = 1 / sqrt(dependence)
    k = max(K * one, SMALLEST_K)
    signals = _signals(kind, k)
    asked = log(false_alarms_per_year / points_per_year)

    def miss(limit: float) -> float:
        return log(_over_estimates(partial(signals, limit), baseline / dependence)) - asked

    limit = _crossing(miss, near=_crossing(lambda known: log(signals(known, 0.0, 1.0)) - asked))
    return Design(
        kind=kind,
        limit=limit,
        k=k,
        points_per_year=points_per_year,
        false_alarms_per_year=exp(miss(limit) + asked) * points_per_year,
        delays=tuple(
            Delay(change=shift, points=1 / signals(limit, shift * one, 1.0)) for shift in SHIFTS
        ),
        provisional=is_provisional(baseline),
    )


def _crossing(miss: Callable[[float], float], *, near: float = 1.0) -> float:
    """Return the limit, not far above `near`, where what falls with it crosses zero.

    The widest where it does nowhere: a baseline that says next to nothing keeps no promise, and
    the chart states what it gives.
    """
    narrow, widest = _LIMITS
    wider = _WIDER
    low, high = (near, near * wider) if miss(near) > 0 else (narrow, near)
    while high < widest and miss(high) > 0:
        wider *= wider
        low, high = high, high * wider
    high = min(high, widest)
    return widest if miss(high) > 0 else float(brentq(miss, low, high, xtol=1e-4))


def _signals(kind: Kind, k: float) -> Callable[[float, float, float], float]:
    """Return the signals per point of a two-sided chart, by limit, shift and spread."""

    def cusum(limit: float, shift: float, spread: float) -> float:
        # The sides of a CUSUM never signal together, so their rates add up.
        sides = (cusum_run_length(k, limit, shift=one, spread=spread) for one in (shift, -shift))
        return sum(1 / one for one in sides)

    def ewma(limit: float, shift: float, spread: float) -> float:
        return 1 / ewma_run_length(EWMA_WEIGHT, limit, shift=shift, spread=spread)

    def shewhart(limit: float, shift: float, spread: float) -> float:
        return 1 / shewhart_run_length(limit, shift=shift, spread=spread)

    return {Kind.CUSUM: cusum, Kind.EWMA: ewma, Kind.SHEWHART: shewhart}[kind]


def _over_estimates(signals: Callable[[float, float], float], baseline: float) -> float:
    """Return the mean of signals per point over mean and sd as `baseline` points estimate them."""
    shifts, spreads = (np.polynomial.hermite_e.hermegauss(n) for n in _NODES)
    total = 0.0
    for at, weight in zip(*shifts, strict=True):
        if at < 0:
            continue  # two-sided charts: the same as on the other side
        twice = _SIDES if at > 0 else 1
        for wide, share in zip(*spreads, strict=True):
            spread = exp(-float(wide) / sqrt(2 * baseline))
            total += twice * float(weight * share) * signals(float(at) / sqrt(baseline), spread)
    return total / (2 * pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateDesign:
    """A Bernoulli CUSUM for one direction: what each case adds, and where it signals."""

    weights: Weights
    rate: float
    feared: float
    design: Design


@lru_cache(_KEPT)
def design_rate(
    events: int,
    cases: int,
    *,
    factor: float,
    cases_per_year: float,
    false_alarms_per_year: float = 1.0,
    dependence: float = 1.0,
) -> RateDesign:
    """Return the chart that sees the odds of an event change by a factor; below 1, a fall.

    Where cases depend on each other, the sum wanders as much further, and so lies the limit.

    The baseline's rate is (events + 1/2) / (cases + 1), so that none in a hundred is not never.
    """
    rate = (events + 0.5) / (cases + 1)
    feared = _with_odds(rate, factor)
    weights = Weights.between(rate, feared)
    levels = (np.arange(_RATE_NODES) + 0.5) / _RATE_NODES
    possible = [float(one) for one in betaincinv(events + 0.5, cases - events + 0.5, levels)]
    per_case = false_alarms_per_year / cases_per_year

    def signals(limit: int) -> float:
        return float(np.mean([1 / bernoulli_run_length(weights, limit, one) for one in possible]))

    alone = _smallest(lambda limit: signals(limit) <= per_case)
    limit = ceil(alone * dependence)
    changes = [_with_odds(rate, factor**power) for power in range(1, len(FACTORS) + 1)]
    design = Design(
        kind=Kind.RATE,
        limit=float(limit),
        points_per_year=cases_per_year,
        false_alarms_per_year=signals(alone) * cases_per_year,
        delays=tuple(
            Delay(change=one, points=bernoulli_run_length(weights, limit, one)) for one in changes
        ),
        provisional=is_provisional(cases),
    )
    return RateDesign(weights=weights, rate=rate, feared=feared, design=design)


def design_gaps(
    failures: int, cases: int, *, cases_per_year: float, false_alarms_per_year: float = 1.0
) -> Design:
    """Return the g-chart of failures too rare for a share: an alarm where two come close together.

    The gap is the longest that keeps to the false alarms asked for, at least 1: two in a row.
    """
    rate = (failures + 0.5) / (cases + 1)
    gap = max(1, gap_for(rate, min(0.5, false_alarms_per_year / (rate * cases_per_year))))
    return Design(
        kind=Kind.GAPS,
        limit=float(gap),
        points_per_year=cases_per_year,
        false_alarms_per_year=cases_per_year / g_run_length(gap, rate),
        delays=tuple(
            Delay(change=one, points=g_run_length(gap, one))
            for one in (_with_odds(rate, factor) for factor in FACTORS)
        ),
        provisional=is_provisional(cases),
    )


def _with_odds(rate: float, factor: float) -> float:
    odds = factor * rate / (1 - rate)
    return odds / (1 + odds)


def _smallest(enough: Callable[[int], bool]) -> int:
    """Return the smallest whole number from 1 upward that is enough; all above it are too."""
    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
