"""How long charts run before they signal: average run lengths by Markov chains.

The run length of a chart is the number of points until its statistic passes its limit. Cut into
states, the statistic is a Markov chain, and the average run length solves a linear system (Brook
and Evans, Biometrika 1972, 59:539-549). Points are standardised: mean 0 and sd 1 in control.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, log, sqrt
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.sparse import csc_array
from scipy.sparse.linalg import spsolve
from scipy.special import ndtr

if TYPE_CHECKING:
    from numpy.typing import NDArray

STATES = 60
"""Of the coarse chain; a chain of twice as many and extrapolation give five digits."""
_KEPT = 8192
_FINEST_STEP = 5
_COARSE_RATIO = 20
_OVERFLOW = 1e15


@lru_cache(_KEPT)
def cusum_run_length(k: float, h: float, *, shift: float = 0.0, spread: float = 1.0) -> float:
    """Return the average run length of a one-sided CUSUM that begins at zero.

    The statistic is ``max(0, previous + z - k)``, the signal is above `h`; the points have mean
    `shift` and sd `spread`. A two-sided chart signals at the sum of the rates of its sides.
    """
    coarse, fine = (_cusum(k, h, (shift, spread), states=m) for m in (STATES, 2 * STATES))
    # The error falls with the square of the number of states.
    return (4 * fine - coarse) / 3 if fine < _OVERFLOW else fine


def _cusum(k: float, h: float, normal: tuple[float, float], *, states: int) -> float:
    shift, spread = normal
    width = 2 * h / (2 * states - 1)
    # From a state to another only the distance counts; whatever falls below zero stays there.
    edges = (np.arange(-states, states) + 0.5) * width
    below = ndtr((edges + k - shift) / spread)
    distances = np.arange(states) - np.arange(states)[:, None]
    inside = np.diff(below)[distances + states - 1]
    inside[:, 0] = below[states - np.arange(states)]
    return _from_start(inside, 0)


@lru_cache(_KEPT)
def ewma_run_length(
    weight: float, width: float, *, shift: float = 0.0, spread: float = 1.0
) -> float:
    """Return the average run length of a two-sided EWMA that begins at its centre.

    The statistic is ``weight z + (1 - weight) previous``; the limits lie `width` of its own
    asymptotic sd from the centre, as in Lucas and Saccucci, Technometrics 1990, 32:1-12.
    """
    coarse, fine = (
        _ewma(weight, width, (shift, spread), states=2 * m + 1) for m in (STATES, 2 * STATES)
    )
    return (4 * fine - coarse) / 3 if fine < _OVERFLOW else fine


def _ewma(weight: float, width: float, normal: tuple[float, float], *, states: int) -> float:
    shift, spread = normal
    limit = width * sqrt(weight / (2 - weight))
    edges = np.linspace(-limit, limit, states + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    needed = (edges[None, :] - (1 - weight) * centres[:, None]) / weight
    inside = np.diff(ndtr((needed - shift) / spread), axis=1)
    return _from_start(inside, states // 2)


def shewhart_run_length(width: float, *, shift: float = 0.0, spread: float = 1.0) -> float:
    """Return the average run length of single points against limits at `width` sd."""
    outside = ndtr((-width - shift) / spread) + ndtr((shift - width) / spread)
    return float(1 / max(outside, 1 / _OVERFLOW))


def _from_start(inside: NDArray[np.float64], start: int) -> float:
    try:
        lengths = np.linalg.solve(np.eye(len(inside)) - inside, np.ones(len(inside)))
    except np.linalg.LinAlgError:
        return _OVERFLOW  # no state leads out, as far as doubles can tell
    found = float(lengths[start])
    return found if 0 < found < _OVERFLOW else _OVERFLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What one case adds to a Bernoulli CUSUM: whole numbers, so that its chain is exact.

    The log-likelihood ratio of two rates adds one amount for an event and takes another for none;
    their ratio is rounded, as in Reynolds and Stoumbos, J Qual Technol 1999, 31:87-108.
    """

    event: int
    no_event: int
    """Negative where events are what is feared, and positive where their absence is."""

    @classmethod
    def between(cls, rate: float, feared: float) -> Self:
        """Return the weights that tell a feared rate from the one in control; both in (0, 1)."""
        event, no_event = log(feared / rate), log((1 - feared) / (1 - rate))
        ratio = abs(event / no_event)
        if max(ratio, 1 / ratio) >= _COARSE_RATIO:
            whole = Fraction(max(1, round(max(ratio, 1 / ratio))))
            found = whole if ratio > 1 else 1 / whole
        else:
            found = Fraction(ratio).limit_denominator(_FINEST_STEP)
        sign = 1 if event > 0 else -1
        return cls(event=sign * found.numerator, no_event=-sign * found.denominator)


@lru_cache(_KEPT)
def bernoulli_run_length(weights: Weights, limit: int, rate: float) -> float:
    """Return the average number of cases until a Bernoulli CUSUM reaches `limit`, from zero."""
    rate = min(max(rate, 0.0), 1.0)
    here = np.arange(limit)
    steps = ((weights.event, rate), (weights.no_event, 1 - rate))
    rows, columns, chances = [here], [here], [np.ones(limit)]
    for step, chance in steps:
        there = np.maximum(here + step, 0)
        stays = there < limit
        rows.append(here[stays])
        columns.append(there[stays])
        chances.append(np.full(int(stays.sum()), -chance))
    places = (np.concatenate(rows), np.concatenate(columns))
    system = csc_array((np.concatenate(chances), places), shape=(limit, limit))
    found = float(np.atleast_1d(spsolve(system, np.ones(limit)))[0])
    return found if 0 < found < _OVERFLOW else _OVERFLOW


def g_run_length(gap: int, rate: float) -> float:
    """Return the average number of cases until two failures lie at most `gap` cases apart.

    The g-chart's point is the number of cases from one failure to the next (Benneyan, Health Care
    Manag Sci 2001, 4:305-318); a short one says that failures have become more frequent.
    """
    if rate <= 0:
        return _OVERFLOW
    short = -np.expm1(gap * np.log1p(-min(rate, 1 - 1e-12)))
    # The first failure opens the first gap.
    return float((1 + 1 / max(short, 1 / _OVERFLOW)) / rate)


def gap_for(rate: float, share: float) -> int:
    """Return the longest gap that at most `share` of the gaps in control do not exceed."""
    return max(0, ceil(log(1 - share) / log(1 - rate)) - 1)
