"""How two windows of one feature differ: tests, sizes of the difference, and many tests at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

BINS = 10
FEWEST = 5
"""Values on either side; fewer say nothing."""
_HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberDifference:
    """How the numbers of a window differ from those of the reference; NaN where too few."""

    n_reference: int
    n: int
    shift: float
    """Difference of the means, in sd of the reference; infinite where that is constant."""
    ks: float
    """Largest difference of the distribution functions (Kolmogorov-Smirnov)."""
    wasserstein: float
    """First Wasserstein distance, in sd of the reference."""
    psi: float
    """Population stability index over the tenths of the reference: 0.1 is some, 0.25 much."""
    p_value: float
    """Of Kolmogorov-Smirnov, two-sided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordDifference:
    """How the words of a window differ from those of the reference; NaN where too few."""

    n_reference: int
    n: int
    unseen: tuple[tuple[str, int], ...]
    """Words that the reference never had, with how often they came: each an event of its own."""
    psi: float
    p_value: float
    """Of the G-test (log-likelihood ratio) over all words of both windows."""


def compare_numbers(reference: Numbers, window: Numbers) -> NumberDifference:
    """Return how the finite numbers of two windows differ."""
    from scipy.stats import ks_2samp, wasserstein_distance  # noqa: PLC0415 - slow to load

    ours, theirs = window[np.isfinite(window)], reference[np.isfinite(reference)]
    if min(len(ours), len(theirs)) < FEWEST:
        return NumberDifference(
            n_reference=len(theirs),
            n=len(ours),
            shift=nan,
            ks=nan,
            wasserstein=nan,
            psi=nan,
            p_value=nan,
        )
    test = ks_2samp(ours, theirs, method="asymp")
    return NumberDifference(
        n_reference=len(theirs),
        n=len(ours),
        shift=_in_sd(ours.mean() - theirs.mean(), theirs),
        ks=float(test.statistic),
        wasserstein=_in_sd(wasserstein_distance(ours, theirs), theirs),
        psi=psi_of_numbers(theirs, ours),
        p_value=float(test.pvalue),
    )


def _in_sd(difference: float, reference: Numbers) -> float:
    if difference == 0:
        return 0.0
    # A sum of equal numbers may be rounded, so that their sd is not quite zero.
    with np.errstate(over="ignore"):
        sd = float(reference.std()) if np.ptp(reference) > 0 else 0.0
        return float(difference / sd) if sd > 0 else float(np.copysign(np.inf, difference))


def psi_of_numbers(reference: Numbers, window: Numbers) -> float:
    """Return the population stability index over the quantile bins of the reference.

    A constant reference has two bins: its value, and everything else.
    """
    inner = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    # A value at an edge lies below it; where many tie, a bin of its own takes them.
    edges = np.unique(np.concatenate([inner, np.nextafter(inner, -np.inf)]))
    counts = (
        np.bincount(np.searchsorted(edges, values, "left"), minlength=len(edges) + 1)
        for values in (reference, window)
    )
    return _psi(*counts)


def compare_words(reference: Sequence[str], window: Sequence[str]) -> WordDifference:
    """Return how the words of two windows differ; an empty word is an absent one, and left out."""
    theirs, ours = (Counter(one for one in words if one) for words in (reference, window))
    unseen = tuple((word, ours[word]) for word in sorted(ours.keys() - theirs.keys()))
    words = sorted(ours | theirs)
    table = np.array([[counts[word] for word in words] for counts in (theirs, ours)])
    enough = min(theirs.total(), ours.total()) >= FEWEST
    return WordDifference(
        n_reference=theirs.total(),
        n=ours.total(),
        unseen=unseen,
        psi=_psi(*table) if enough else nan,
        p_value=_g_test(table) if enough else nan,
    )


def _g_test(table: NDArray[np.int64]) -> float:
    from scipy.stats import chi2_contingency  # noqa: PLC0415 - slow to load

    if table.shape[1] == 1:
        return 1.0
    return float(chi2_contingency(table, correction=False, lambda_="log-likelihood").pvalue)


def _psi(reference: NDArray[np.int64], window: NDArray[np.int64]) -> float:
    """Return the sum of (q - p) ln(q / p); half a case in each bin keeps an empty one finite."""
    shares = [
        (counts + _HALF) / (counts + _HALF).sum()
        for counts in (reference, window)
        for counts in [counts[(reference + window) > 0]]
    ]
    before, after = shares
    return float(((after - before) * np.log(after / before)).sum())


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return adjusted p-values: below q, at most a share q of them is expected to be false.

    NaN is no test and stays NaN.
    """
    from scipy.stats import false_discovery_control  # noqa: PLC0415 - slow to load

    given = np.asarray(p_values, dtype=np.float64)
    kept = ~np.isnan(given)
    adjusted = np.full(len(given), nan)
    if kept.any():
        adjusted[kept] = false_discovery_control(given[kept])
    return tuple(float(one) for one in adjusted)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return adjusted p-values: below alpha, the chance of a single false one is below alpha.

    NaN is no test and stays NaN.
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = [int(index) for index in np.argsort(given) if not np.isnan(given[index])]
    adjusted = np.full(len(given), nan)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * float(given[index])))
        adjusted[index] = largest
    return tuple(float(one) for one in adjusted)
