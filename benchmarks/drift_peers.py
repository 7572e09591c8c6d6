"""What the monitor is compared with: a test of each feature each day, and CheXstray's score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.stats import chi2, kstwobign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

PER_DAY = 30
KS_DAYS = 7
CHEXSTRAY_DAYS = 30
CLIP = 10.0
"""As in CheXstray's code: each metric, z-scored against a calm period, is clipped there."""


class Studies(Protocol):
    """What both peers look at."""

    table: Numbers
    women: NDArray[np.bool_]


def _ks_distances(past: Numbers, now: Numbers, days: int) -> Numbers:
    """Return KS distances, shape (days, features), of a rolling window; NaN before it is full."""
    total = len(now) // PER_DAY
    found = np.full((total, past.shape[1]), np.nan)
    window = days * PER_DAY
    places = np.arange(window)
    for column in range(past.shape[1]):
        before = np.sort(past[:, column])
        low, high = (
            _windows(np.searchsorted(before, now[:, column], side) / len(before), window)
            for side in ("left", "right")
        )
        above = ((places + 1) / window - high).max(axis=1)
        below = (low - places / window).max(axis=1)
        found[days - 1 :, column] = np.maximum(above, below)
    return found


def _windows(values: Numbers, window: int) -> Numbers:
    """Return the values of each rolling window, one a day, sorted."""
    rolling = np.lib.stride_tricks.sliding_window_view(values, window)[::PER_DAY]
    return np.sort(rolling[: len(values) // PER_DAY - window // PER_DAY + 1], axis=1)


def daily_ks(past: Numbers, now: Numbers) -> Numbers:
    """Return for each day the smallest p-value of all features, as -log10; 0 before the first week.

    Kolmogorov-Smirnov of the last seven days against the reference, two-sided, asymptotic.
    """
    n, m = len(past), KS_DAYS * PER_DAY
    distances = _ks_distances(past, now, KS_DAYS)
    p_values = kstwobign.sf(distances * np.sqrt(n * m / (n + m)))
    said = -np.log10(np.maximum(np.nanmin(np.nan_to_num(p_values, nan=1.0), axis=1), 1e-300))
    return np.asarray(said)


def chexstray(past: Studies, now: Studies) -> Numbers:
    """Return CheXstray's combined score for each day, weighted equally; 0 before the first month.

    KS distance of numbers and chi-square of words over rolling 30 days against the reference; each
    z-scored by the windows of the reference period itself, the declared calm period, clipped, and
    averaged (Soin et al. 2022). Weights by AUROC need labels, which nobody has in daily work.
    """
    calm = _metrics(past, past)
    found = _metrics(past, now)
    centre, spread = np.nanmean(calm, axis=0), np.nanstd(calm, axis=0)
    scores = np.clip((found - centre) / np.maximum(spread, 1e-9), -CLIP, CLIP)
    return np.nan_to_num(scores.mean(axis=1))


def _metrics(past: Studies, now: Studies) -> Numbers:
    distances = _ks_distances(past.table, now.table, CHEXSTRAY_DAYS)
    days, window = len(distances), CHEXSTRAY_DAYS * PER_DAY
    words = np.full((days, 1), np.nan)
    share = past.women.mean()
    for day in range(CHEXSTRAY_DAYS, days + 1):
        recent = now.women[day * PER_DAY - window : day * PER_DAY].mean()
        statistic = window * (recent - share) ** 2 / (share * (1 - share))
        words[day - 1] = -np.log10(max(float(chi2.sf(statistic, 1)), 1e-300))
    return np.concatenate([distances, words], axis=1)


def first_alarm(said: Numbers, threshold: float, *, after: int) -> float:
    """Return the days from `after` until a method says more than its threshold; infinite if never."""
    over = np.flatnonzero(said[after:] > threshold)
    return float(over[0] + 1) if len(over) else float("inf")


def alarms(said: Numbers, threshold: float) -> int:
    """Return how often a method begins to say more than its threshold."""
    over = said > threshold
    return int((over[1:] & ~over[:-1]).sum() + over[0])


def threshold_for(calm: Sequence[Numbers], *, per_year: float) -> float:
    """Return the lowest threshold at which calm years have no more alarms than asked for."""
    levels = np.sort(np.unique(np.concatenate(list(calm))))
    for level in levels:
        if np.mean([alarms(one, level) for one in calm]) <= per_year and level > np.median(levels):
            return float(level)
    return float(levels[-1])
