"""How sure the numbers are: intervals by resampling the cases, and paired tests (SciPy)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import bootstrap, wilcoxon

if TYPE_CHECKING:
    from collections.abc import Sequence

RESAMPLES = 2000
SEED = 20261121
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """One metric of two models on the same cases; None where there are too few."""

    n: int
    """Cases of which both have a value."""
    mean: float | None
    """The second model's less the first's."""
    low: float | None
    high: float | None
    p_value: float | None
    """Wilcoxon's signed-rank test, two-sided; 1 where no case differs."""


def interval_of_mean(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the ends of the 95 % bootstrap interval of the mean, the same at each run.

    Percentiles of 2000 means of cases drawn with replacement; None for fewer than two cases.
    """
    if len(values) < 2:  # noqa: PLR2004 - one case does not vary
        return None, None
    found = bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return float(found.low), float(found.high)


def paired(first: Sequence[float | None], second: Sequence[float | None]) -> PairedDifference:
    """Return how a metric differs, case by case, between two models."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    differences = [b - a for a, b in pairs]
    if not differences:
        return PairedDifference(n=0, mean=None, low=None, high=None, p_value=None)
    low, high = interval_of_mean(differences)
    return PairedDifference(
        n=len(differences),
        mean=float(np.mean(differences)),
        low=low,
        high=high,
        p_value=_p_value(differences),
    )


def _p_value(differences: list[float]) -> float:
    if not any(differences):
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy says that ties make it approximate
        return float(wilcoxon(differences).pvalue)
