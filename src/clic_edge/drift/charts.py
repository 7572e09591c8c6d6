"""Charts that are followed point by point, and the alarms that they open, confirm and close.

Every function goes on from where the last call stopped, so a day can be charted by itself.
A point that is NaN is no point: nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from clic_edge.domain.monitoring import Turn
from clic_edge.drift.design import EWMA_WEIGHT, K

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

CEILING = 1.25
"""A sum stops at so many limits: after a long alarm, a chart must find back in days."""
HYSTERESIS = 0.5
"""An alarm closes when the statistic is back below this part of its limit."""
PERSISTENCE = 2
"""So many points in a row beyond the limit make a warning an alarm to act on."""


def normal_scores(baseline: Numbers, values: Numbers) -> Numbers:
    """Return where values stand among a baseline's, as standard normal deviates.

    In control they are close to standard normal whatever the distribution of the feature, and no
    single value, however wild, moves them beyond that of the outermost rank. Ties take the middle
    rank; NaN stays NaN. `baseline` has no NaN.
    """
    ordered = np.sort(baseline)
    ranks = (
        np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    ) / 2
    scores = ndtri((ranks + 0.5) / (len(ordered) + 1))
    return np.where(np.isnan(values), np.nan, scores)


def standardised_mean(scores: Numbers) -> float:
    """Return the mean of a day's scores times the root of their number; NaN of an empty day."""
    kept = scores[~np.isnan(scores)]
    return float(kept.mean() * sqrt(len(kept))) if len(kept) else float("nan")


def reflected(steps: Numbers, start: Numbers | float = 0.0, *, ceiling: Numbers | float) -> Numbers:
    """Return ``min(ceiling, max(0, previous + step))`` for each point: the sum of a CUSUM.

    `steps` has shape (points, ...); charts of one length are followed side by side.
    """
    sums = np.empty_like(steps)
    now = np.broadcast_to(np.asarray(start, dtype=np.float64), steps.shape[1:])
    for index, step in enumerate(np.nan_to_num(steps, nan=0.0)):
        now = np.minimum(np.maximum(now + step, 0.0), ceiling)
        sums[index] = now
    return sums


def cusum(
    scores: Numbers, limit: float, *, up: Numbers | float = 0.0, down: Numbers | float = 0.0
) -> tuple[Numbers, Numbers]:
    """Return the upward and downward sums of a two-sided CUSUM after each point."""
    ceiling = CEILING * limit
    return (
        reflected(scores - K, up, ceiling=ceiling),
        reflected(-scores - K, down, ceiling=ceiling),
    )


def ewma(scores: Numbers, start: float = 0.0) -> Numbers:
    """Return the moving average after each point, in its own asymptotic sd."""
    scale = sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT))
    averages = np.empty_like(scores)
    now = start * scale
    for index, score in enumerate(scores):
        now = now if np.isnan(score) else EWMA_WEIGHT * score + (1 - EWMA_WEIGHT) * now
        averages[index] = now / scale
    return averages


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a chart stands with its limit between two points."""

    beyond: int = 0
    """Points in a row beyond the limit, at most `PERSISTENCE`."""
    open: bool = False
    confirmed: bool = False


def watch(
    statistics: Iterable[float], limit: float, standing: Standing
) -> tuple[tuple[tuple[int, Turn], ...], Standing]:
    """Return what happens at which point, and how the chart stands after the last.

    One point beyond the limit opens an alarm, `PERSISTENCE` in a row confirm it, and it closes
    only below `HYSTERESIS` of the limit: a chart that trembles at its limit rings once.
    """
    turns = []
    beyond, is_open, confirmed = standing.beyond, standing.open, standing.confirmed
    for index, value in enumerate(statistics):
        beyond = min(beyond + 1, PERSISTENCE) if value > limit else 0
        if beyond and not is_open:
            turns.append((index, Turn.OPENED))
            is_open = True
        if beyond == PERSISTENCE and not confirmed:
            turns.append((index, Turn.CONFIRMED))
            confirmed = True
        if is_open and value < HYSTERESIS * limit:
            turns.append((index, Turn.CLOSED))
            is_open = confirmed = False
    return tuple(turns), Standing(beyond=beyond, open=is_open, confirmed=confirmed)
