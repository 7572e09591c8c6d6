"""A window beside its reference: every feature, its subgroups, and what confidence says of errors."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from clic_edge.drift.charts import normal_scores
from clic_edge.drift.classifier import separation
from clic_edge.drift.multivariate import mmd
from clic_edge.drift.plan import is_wordy, words_of
from clic_edge.drift.reference import EMBEDDING, STRATUM_FEATURES, channel_of, table_of, tabulate
from clic_edge.drift.statistics import benjamini_hochberg, compare_numbers, compare_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from clic_edge.domain.monitoring import Channel, Observation, Reference
    from clic_edge.drift.classifier import Separation
    from clic_edge.drift.multivariate import Discrepancy
    from clic_edge.drift.reference import Table
    from clic_edge.drift.statistics import NumberDifference, WordDifference

CONFIDENCE = 0.95
_FEWEST_ROWS = 20
_WHOLE = 0.9
_RESAMPLES = 500
SEED = 20261121


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One feature of a window beside the reference."""

    feature: str
    channel: Channel
    difference: NumberDifference | WordDifference
    adjusted_p: float
    """By Benjamini and Hochberg over all features of the window."""


def compare(reference: Reference, observations: Sequence[Observation]) -> tuple[Comparison, ...]:
    """Return every feature of the reference beside a window's, the surest difference first.

    The observations may be of another stratum: how a new scanner differs from the one before.
    """
    before, now = table_of(reference), tabulate(observations)
    found = [*_differences(before, now, len(observations))]
    adjusted = benjamini_hochberg([difference.p_value for _, difference in found])
    compared = (
        Comparison(
            feature=name, channel=channel_of(name), difference=difference, adjusted_p=p_value
        )
        for (name, difference), p_value in zip(found, adjusted, strict=True)
    )
    return tuple(sorted(compared, key=_surest))


def _surest(one: Comparison) -> tuple[bool, float, str]:
    return (bool(np.isnan(one.adjusted_p)), one.adjusted_p, one.feature)


def _differences(
    before: Table, now: Table, length: int
) -> Iterator[tuple[str, NumberDifference | WordDifference]]:
    for name, values in before.numbers:
        if name.startswith(EMBEDDING):
            continue
        ours = now.number(name, length)
        if is_wordy(values):
            yield name, compare_words(words_of(values), words_of(ours))
        else:
            yield name, compare_numbers(values, ours)
    for name, words in before.words:
        if name not in STRATUM_FEATURES:
            yield name, compare_words(words, now.word(name, length))


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Whole observations of a window beside the reference's, by all numbers or by the embedding."""

    is_embedding: bool
    discrepancy: Discrepancy
    separation: Separation
    adjusted: tuple[float, float]
    """Both p-values, by Benjamini and Hochberg over all tests of whole observations."""


def compare_whole(reference: Reference, observations: Sequence[Observation]) -> tuple[Whole, ...]:
    """Return how whole observations differ from the reference's, by two tests each.

    By their features, and by the embedding of a model that has one. Numbers are compared by their scores. Nothing is said where fewer than 20 observations on
    either side have all of the numbers that nine in ten of the reference have.
    """
    before, now = table_of(reference), tabulate(observations)
    tested = [
        (is_embedding, mmd(*sides), separation(*sides))
        for is_embedding in (False, True)
        for sides in _sides(before, now, len(observations), is_embedding=is_embedding)
    ]
    adjusted = benjamini_hochberg(
        [p for _, distance, apart in tested for p in (distance.p_value, apart.p_value)]
    )
    return tuple(
        Whole(
            is_embedding=is_embedding,
            discrepancy=discrepancy,
            separation=separated,
            adjusted=(adjusted[2 * index], adjusted[2 * index + 1]),
        )
        for index, (is_embedding, discrepancy, separated) in enumerate(tested)
    )


def _sides(
    before: Table, now: Table, length: int, *, is_embedding: bool
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the rows of reference and window, once where there are enough of both."""
    chosen = [
        (name, values)
        for name, values in before.numbers
        if name.startswith(EMBEDDING) == is_embedding and np.isfinite(values).mean() >= _WHOLE
    ]
    if not chosen:
        return
    theirs = np.stack([_scores(values, values) for _, values in chosen], axis=1)
    columns = [_scores(values, now.number(name, length)) for name, values in chosen]
    ours = np.stack(columns, axis=1)
    theirs, ours = (rows[~np.isnan(rows).any(axis=1)] for rows in (theirs, ours))
    if min(len(theirs), len(ours)) >= _FEWEST_ROWS:
        yield theirs, ours


def _scores(baseline: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return normal_scores(baseline[~np.isnan(baseline)], values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One feature of one subgroup; NaN where the group is too small to say anything of."""

    group: str
    n: int
    is_enough: bool
    mean: float
    low: float
    high: float
    """95 % interval of the mean (t distribution)."""
    difference: float
    """From everybody else, in sd of all."""


def subgroups(
    observations: Sequence[Observation], feature: str, by: str, *, smallest: int
) -> tuple[Group, ...]:
    """Return a feature's mean for each value of another feature, e.g. ``input.sex``."""
    return grouped(tabulate(observations), feature, by, smallest=smallest)


def grouped(table: Table, feature: str, by: str, *, smallest: int) -> tuple[Group, ...]:
    """Return as `subgroups`, of observations that are a table already."""
    length = table.length
    values = table.number(feature, length)
    names = {name for name, _ in table.numbers}
    groups = words_of(table.number(by, length)) if by in names else table.word(by, length)
    return group_means(values, groups, smallest=smallest)


def group_means(
    values: NDArray[np.float64], groups: Sequence[str], *, smallest: int
) -> tuple[Group, ...]:
    """Return the mean of the values of each group, by its name; what has none is left out."""
    kept = ~np.isnan(values)
    named = np.array(groups, dtype=object)
    return tuple(
        _group(str(group), values[kept & (named == group)], values[kept], smallest=smallest)
        for group in sorted({one for one in groups if one})
    )


def _group(
    group: str, ours: NDArray[np.float64], everybody: NDArray[np.float64], *, smallest: int
) -> Group:
    n, others = len(ours), len(everybody) - len(ours)
    if n < max(smallest, 2):
        return Group(group=group, n=n, is_enough=False, mean=nan, low=nan, high=nan, difference=nan)
    mean = float(ours.mean())
    with np.errstate(over="ignore"):  # a wild value makes an infinite interval
        half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2) * ours.std(ddof=1) / sqrt(n))
        sd = float(everybody.std())
    rest = (everybody.sum() - ours.sum()) / others if others else nan
    return Group(
        group=group,
        n=n,
        is_enough=True,
        mean=mean,
        low=mean - half,
        high=mean + half,
        difference=float(mean - rest) / sd if sd > 0 else 0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measure of performance that nobody has observed, with its 95 % interval by resampling."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How a classifier performs if its probabilities mean what they say."""

    n: int
    sensitivity: Estimate
    specificity: Estimate
    accuracy: Estimate
    auc: Estimate


def expected_performance(probabilities: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Expected:
    """Return confidence-based estimates: each study is ill with its own probability.

    They hold while the classifier is calibrated, which a shift may end without a sign here: the
    change of prevalence shows, the change of what a finding looks like does not. The AUC is that
    of the probabilities against outcomes drawn from them (ties count half).
    """
    rng = np.random.default_rng(SEED)
    whole = _expected(probabilities, chosen)
    drawn = np.array(
        [
            _expected(probabilities[rows], chosen[rows])
            for rows in rng.integers(0, len(probabilities), (_RESAMPLES, len(probabilities)))
        ]
    )
    sensitivity, specificity, accuracy, auc = (
        _estimate(value, column) for value, column in zip(whole, drawn.T, strict=True)
    )
    return Expected(
        n=len(probabilities),
        sensitivity=sensitivity,
        specificity=specificity,
        accuracy=accuracy,
        auc=auc,
    )


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    kept = drawn[~np.isnan(drawn)]  # without an ill or a well study there is no such measure
    if not len(kept):
        return Estimate(value=value, low=nan, high=nan)
    low, high = np.quantile(kept, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=value, low=float(low), high=float(high))


def _expected(
    p: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> tuple[float, float, float, float]:
    ill, well = p.sum(), (1 - p).sum()
    found, cleared = p[chosen].sum(), (1 - p)[~chosen].sum()
    order = np.argsort(p, kind="stable")
    _, starts = np.unique(p[order], return_index=True)
    well_in = np.add.reduceat((1 - p)[order], starts)
    ill_in = np.add.reduceat(p[order], starts)
    below = np.cumsum(well_in) - well_in
    pairs = ill * well
    return (
        float(found / ill) if ill else nan,
        float(cleared / well) if well else nan,
        float((found + cleared) / len(p)),
        float((ill_in * (below + well_in / 2)).sum() / pairs) if pairs else nan,
    )
