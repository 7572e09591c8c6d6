"""How good a classifier's answers are: pure functions of truth and probability.

`truth` is True where the answer is the one in question, `score` the probability that the model
gave it; both have one value for each case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest, norm, rankdata

from clic_edge.validation.statistics import CONFIDENCE, RESAMPLES, SEED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Truth = NDArray[np.bool_]
    Scores = NDArray[np.float64]

BINS = 10
NET_BENEFIT_AT = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Threshold probabilities of a decision curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with the ends of its 95 % interval; None where the cases do not give one."""

    n: int
    """Cases that it rests on."""
    value: float | None
    low: float | None = None
    high: float | None = None
    interval: str = ""
    """How the ends were found: ``DeLong``, ``Clopper-Pearson``, ``bootstrap``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The second model's number less the first's, on the same cases."""

    n: int
    value: float | None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    test: str = ""
    """``DeLong`` or ``McNemar (exact)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Cases with probabilities between `low` and `high`: what was said, and what was so."""

    low: float
    high: float
    n: int
    mean_probability: float | None
    observed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetBenefit:
    """One point of a decision curve (Vickers & Elkin, Med Decis Making 2006;26:565-574)."""

    threshold: float
    model: float
    treat_all: float
    """Treating nobody has 0."""


def proportion(successes: int, n: int) -> Estimate:
    """Return a share with its exact interval (Clopper & Pearson, Biometrika 1934;26:404-413)."""
    if not n:
        return Estimate(n=0, value=None)
    exact = binomtest(successes, n).proportion_ci(CONFIDENCE, method="exact")
    return Estimate(
        n=n,
        value=successes / n,
        low=float(exact.low),
        high=float(exact.high),
        interval="Clopper-Pearson",
    )


def auroc(truth: Truth, score: Scores) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval.

    The interval is on the logit of the area, so that it stays between 0 and 1 (Pepe, 2003, 5.2);
    an area of 0 or 1, or fewer than two cases of a kind, has none. None without both kinds.
    """
    if truth.all() or not truth.any():
        return Estimate(n=len(truth), value=None)
    area, variance = area_under(truth, score), None
    if min(int(truth.sum()), int((~truth).sum())) > 1:
        variance = float(_covariance(truth, score[None])[0, 0])
    if not variance or not 0 < area < 1:
        return Estimate(n=len(truth), value=area)
    half = _z() * np.sqrt(variance) / (area * (1 - area))
    logit = np.log(area / (1 - area))
    low, high = (float(1 / (1 + np.exp(-end))) for end in (logit - half, logit + half))
    return Estimate(n=len(truth), value=area, low=low, high=high, interval="DeLong")


def compare_auroc(truth: Truth, first: Scores, second: Scores) -> Difference:
    """Return how two areas on the same cases differ (DeLong et al., Biometrics 1988;44:837-845)."""
    if min(int(truth.sum()), int((~truth).sum())) < 2:  # noqa: PLR2004 - one case does not vary
        return Difference(n=len(truth), value=None)
    difference = area_under(truth, second) - area_under(truth, first)
    covariance = _covariance(truth, np.stack([first, second]))
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= np.finfo(float).eps:
        return Difference(n=len(truth), value=difference, p_value=1.0, test="DeLong")
    spread = float(np.sqrt(variance))
    return Difference(
        n=len(truth),
        value=difference,
        low=difference - _z() * spread,
        high=difference + _z() * spread,
        p_value=float(2 * norm.sf(abs(difference) / spread)),
        test="DeLong",
    )


def compare_right(first: Truth, second: Truth) -> Difference:
    """Return how two shares of right answers on the same cases differ (McNemar's exact test)."""
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    return Difference(
        n=len(first),
        value=(gained - lost) / len(first) if len(first) else None,
        p_value=binomtest(gained, gained + lost).pvalue if gained + lost else 1.0,
        test="McNemar (exact)",
    )


def average_precision(truth: Truth, score: Scores) -> float | None:
    """Return the area under the precision-recall curve, in steps, as scikit-learn has it.

    None where there is nothing to find.
    """
    if not truth.any():
        return None
    order = np.argsort(-score, kind="stable")
    last_of_ties = np.append(np.diff(score[order]) != 0, True)
    found = np.cumsum(truth[order])[last_of_ties]
    precision = found / (np.flatnonzero(last_of_ties) + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / truth.sum())


def brier(truth: Truth, score: Scores) -> float:
    """Return the mean squared distance of the probabilities from the truth."""
    return float(((score - truth) ** 2).mean())


def calibration(truth: Truth, score: Scores) -> tuple[Bin, ...]:
    """Return ten bins of equal width; a probability of 1 is in the last."""
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            low=k / BINS,
            high=(k + 1) / BINS,
            n=int(inside.sum()),
            mean_probability=float(score[inside].mean()) if inside.any() else None,
            observed=float(truth[inside].mean()) if inside.any() else None,
        )
        for k, inside in enumerate(place == k for k in range(BINS))
    )


def expected_calibration_error(truth: Truth, score: Scores) -> float:
    """Return the mean distance of what was said from what was so, over the bins' cases."""
    return sum(
        one.n * abs(one.mean_probability - one.observed)
        for one in calibration(truth, score)
        if one.mean_probability is not None and one.observed is not None
    ) / len(truth)


def decision_curve(truth: Truth, score: Scores) -> tuple[NetBenefit, ...]:
    """Return the net benefit for each threshold: true less weighted false positives, per case."""
    n, share = len(truth), float(truth.mean())
    points = []
    for threshold in NET_BENEFIT_AT:
        weight, positive = threshold / (1 - threshold), score >= threshold
        right, wrong = int((positive & truth).sum()), int((positive & ~truth).sum())
        points.append(
            NetBenefit(
                threshold=threshold,
                model=right / n - weight * wrong / n,
                treat_all=share - weight * (1 - share),
            )
        )
    return tuple(points)


def confusion(truth: Sequence[int], found: Sequence[int], *, classes: int) -> NDArray[np.intp]:
    """Return how often each truth (row) was answered how (column)."""
    table = np.zeros((classes, classes), np.intp)
    np.add.at(table, (np.asarray(truth, int), np.asarray(found, int)), 1)
    return table


def quadratic_kappa(table: NDArray[np.intp]) -> float | None:
    """Return Cohen's kappa with quadratic weights; None where chance alone would agree."""
    grades = np.arange(len(table))
    weights = (grades[:, None] - grades) ** 2
    chance = np.outer(table.sum(1), table.sum(0)) / table.sum()
    if not (weights * chance).any():
        return None
    return float(1 - (weights * table).sum() / (weights * chance).sum())


def resampled(
    statistic: Callable[[NDArray[np.intp]], float | None], n: int, *, value: float | None
) -> Estimate:
    """Return `value` with percentiles of `statistic` over cases drawn with replacement.

    The statistic takes the places of the drawn cases; a draw that it has no number for (of one
    kind of case only) is left out.
    """
    if n < 2 or value is None:  # noqa: PLR2004 - one case does not vary
        return Estimate(n=n, value=value)
    rng = np.random.default_rng(SEED)
    return _between(value, [statistic(rng.integers(n, size=n)) for _ in range(RESAMPLES)], n)


def _between(value: float | None, draws: Sequence[float | None], n: int) -> Estimate:
    found = [draw for draw in draws if draw is not None]
    if value is None or not found:
        return Estimate(n=n, value=value)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(found, (tail, 100 - tail))
    return Estimate(n=n, value=value, low=float(low), high=float(high), interval="bootstrap")


def resampled_together(
    statistics: Callable[[NDArray[np.intp]], Mapping[str, float | None]], n: int
) -> dict[str, Estimate]:
    """Return each of several statistics as `resampled` does, all of the same draws."""
    whole = statistics(np.arange(n))
    rng = np.random.default_rng(SEED)
    draws = [statistics(rng.integers(n, size=n)) for _ in range(RESAMPLES)] if n > 1 else []
    return {
        name: _between(value, [draw[name] for draw in draws], n) for name, value in whole.items()
    }


def area_under(truth: Truth, score: Scores) -> float:
    """Return the area under the ROC curve; there must be cases of both kinds."""
    positive = int(truth.sum())
    ranks = rankdata(score)[truth].sum()
    pairs = positive * (len(truth) - positive)
    return float((ranks - positive * (positive + 1) / 2) / pairs)


def _covariance(truth: Truth, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return DeLong's covariance of the areas of several scores (models, cases).

    Placement values by ranks (Sun & Xu, IEEE Signal Processing Letters 2014;21:1389-1393).
    """
    positive, negative = int(truth.sum()), int((~truth).sum())
    among_all = np.apply_along_axis(rankdata, 1, scores)
    among_positive = np.apply_along_axis(rankdata, 1, scores[:, truth])
    among_negative = np.apply_along_axis(rankdata, 1, scores[:, ~truth])
    placed_positive = (among_all[:, truth] - among_positive) / negative
    placed_negative = 1 - (among_all[:, ~truth] - among_negative) / positive
    covariance: NDArray[np.float64] = (
        np.atleast_2d(np.cov(placed_positive)) / positive
        + np.atleast_2d(np.cov(placed_negative)) / negative
    )
    return covariance


def _z() -> float:
    return float(norm.ppf((1 + CONFIDENCE) / 2))
