"""Which charts a reference gets, and where their limits lie.

Numbers are charted by their normal scores, to both sides. Words, and numbers of few values, are
charted by how often the most common one comes. What happens or does not is charted upward; where
the reference has hardly any of it, by the gaps between. The false alarms that one is ready to have
in a year are shared out evenly among all charts of a model.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.monitoring import Channel, Direction, Response
from clic_edge.drift.charts import normal_scores
from clic_edge.drift.design import (
    Kind,
    dependence_of,
    design_gaps,
    design_numbers,
    design_rate,
)
from clic_edge.drift.multivariate import USUAL, Cloud
from clic_edge.drift.reference import (
    EMBEDDING,
    FEWEST,
    ODD,
    STRATUM_FEATURES,
    Table,
    channel_of,
    table_of,
)
from clic_edge.drift.run_length import Weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from clic_edge.domain.monitoring import Reference
    from clic_edge.drift.design import Design

MOST_FALSE_ALARMS = 1.0
"""Of one chart in a year, however few charts there are."""
_DAY = timedelta(days=1)
_YEAR_DAYS = 365.25
_FEW_VALUES = 4
_TIED = 0.5
_RARE = 5
_FREQUENT = 2.0
_ODD_FACTOR = 4.0
_ENOUGH_FOR_A_CLOUD = 100
_WHOLE = 0.9
_NEW_WORDS = 0.01
_ODD_CHANNELS = {Channel.ACQUISITION, Channel.IMAGE, Channel.OUTPUT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a site decides on its charts."""

    false_alarms_per_year: float = 12.0
    """Of all charts of one reference together."""
    smallest_group: int = 30
    """Observations; of a smaller subgroup nothing is said."""
    responses: tuple[tuple[Channel, Response], ...] = ()
    """What an alarm to act on does, by channel; a warning where nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One side of one chart: a sum that rises while something moves in one direction."""

    feature: str
    word: str | None = None
    """Of events: the value whose share is charted; None for numbers."""
    direction: Direction
    design: Design
    weights: Weights | None = None
    """Of events; None for numbers."""
    baseline: NDArray[np.float64] = field(repr=False)
    """Numbers of the reference, sorted; of events, its ones and zeros."""
    scale: float = 1.0
    """What scores are divided by: below 1 where many values of the reference tie."""
    dependence: float = 1.0
    """As `dependence_of` the reference's points."""

    @property
    def name(self) -> str:
        """What the chart is called in tables."""
        return self.feature if self.word is None else f"{self.feature}={self.word}"

    @property
    def limit(self) -> float:
        """An alarm opens where the sum is above."""
        # The chain of a rate chart signals when the limit is reached, and sums are whole numbers.
        return self.design.limit - (0.5 if self.design.kind is Kind.RATE else 0.0)

    def steps(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each value adds to the sum; NaN where there is none."""
        if self.weights:
            added = np.where(values > 0, float(self.weights.event), float(self.weights.no_event))
            return np.where(np.isnan(values), np.nan, added)
        scores = normal_scores(self.baseline, values) / (self.scale * sqrt(self.dependence))
        return (scores if self.direction is Direction.UP else -scores) - self.design.k


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All charts of a reference, and what it needs to tell the usual from the odd."""

    charts: tuple[Chart, ...]
    vocabularies: tuple[tuple[str, frozenset[str]], ...]
    """The words that a feature had; any other is an event of its own."""
    cloud: Cloud | None
    cloud_features: tuple[tuple[str, NDArray[np.float64]], ...]
    """What the cloud is made of, with the numbers that the scores come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is to be charted, before its limit is known."""

    feature: str
    word: str | None = None
    values: NDArray[np.float64]
    """In their order."""


def plan_charts(reference: Reference, policy: Policy) -> Plan:
    """Return the charts of a reference with their limits."""
    table = table_of(reference)
    features, cloud = _cloud(table)
    subjects = [*_subjects(table)]
    if cloud:
        subjects.append(_Subject(feature=ODD, values=cloud.outside))
    days = max(reference.last_at - reference.first_at, _DAY) / _DAY
    each = min(MOST_FALSE_ALARMS, policy.false_alarms_per_year / max(1, len(subjects)))
    return Plan(
        charts=tuple(
            chart
            for one in subjects
            for chart in _charts(one, each=each, per_day=len(one.values) / days)
        ),
        vocabularies=tuple(_vocabularies(table)),
        cloud=cloud.cloud if cloud else None,
        cloud_features=features,
    )


def words_of(values: NDArray[np.float64]) -> tuple[str, ...]:
    """Return numbers of few values as words."""
    return tuple("" if np.isnan(one) else f"{one:.4g}" for one in values)


def is_wordy(values: NDArray[np.float64]) -> bool:
    """Whether numbers have so few values, or one so often, that ranks say nothing of them."""
    _, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return len(counts) < _FEW_VALUES or counts.max() > _TIED * counts.sum()


def _subjects(table: Table) -> Iterator[_Subject]:
    for name, values in table.numbers:
        kept = values[~np.isnan(values)]
        if len(kept) < FEWEST or name.startswith(EMBEDDING):
            continue
        if name.startswith("rate."):
            yield _Subject(feature=name, values=kept)
        elif is_wordy(kept):
            yield from _shares(name, words_of(kept))
        else:
            yield _Subject(feature=name, values=kept)
    for name, words in table.words:
        if name not in STRATUM_FEATURES:
            yield from _shares(name, [one for one in words if one])


def _shares(name: str, words: Sequence[str]) -> Iterator[_Subject]:
    """Yield the share of the most common word; where there is no other, there is no share."""
    counted = Counter(words)
    if len(words) >= FEWEST and len(counted) > 1:
        common = min(counted, key=lambda word: (-counted[word], word))
        values = np.array([float(one == common) for one in words])
        yield _Subject(feature=name, word=common, values=values)


def _vocabularies(table: Table) -> Iterator[tuple[str, frozenset[str]]]:
    few = (
        (name, words_of(values))
        for name, values in table.numbers
        if not name.startswith(("rate.", EMBEDDING)) and is_wordy(values)
    )
    for name, words in (*table.words, *few):
        counted = Counter(word for word in words if word)
        once = sum(count == 1 for count in counted.values())
        # Where many came once, the next new one is near (Good and Turing), and no event.
        is_closed = counted.total() >= FEWEST and once <= max(1, _NEW_WORDS * counted.total())
        if is_closed and name not in STRATUM_FEATURES:
            yield name, frozenset(counted)


def _charts(subject: _Subject, *, each: float, per_day: float) -> tuple[Chart, ...]:
    if subject.feature.startswith("rate.") or subject.feature == ODD:
        return (_upward(subject, each=each, per_day=per_day),)
    if subject.word is not None:
        return tuple(
            _share(
                subject,
                _FREQUENT if direction is Direction.UP else 1 / _FREQUENT,
                each=each / 2,
                per_day=per_day,
            )
            for direction in Direction
        )
    baseline = np.sort(subject.values)
    scores = normal_scores(baseline, subject.values)
    dependence = dependence_of(scores, per_day)
    design = design_numbers(
        Kind.CUSUM,
        baseline=len(baseline),
        points_per_year=per_day * _YEAR_DAYS,
        false_alarms_per_year=each,
        dependence=dependence,
    )
    is_tied = len(np.unique(baseline)) < len(baseline) / 2
    return tuple(
        Chart(
            feature=subject.feature,
            direction=direction,
            design=design,
            baseline=baseline,
            scale=float(scores.std()) if is_tied else 1.0,
            dependence=dependence,
        )
        for direction in Direction
    )


def _upward(subject: _Subject, *, each: float, per_day: float) -> Chart:
    """Return the chart of something that is feared to become more frequent."""
    if subject.feature == ODD:
        return _share(subject, _ODD_FACTOR, each=each, per_day=per_day)
    events, cases = int(subject.values.sum()), len(subject.values)
    if events >= _RARE:
        return _share(subject, _FREQUENT, each=each, per_day=per_day)
    gaps = design_gaps(
        events, cases, cases_per_year=per_day * _YEAR_DAYS, false_alarms_per_year=each
    )
    return Chart(
        feature=subject.feature,
        direction=Direction.UP,
        design=gaps,
        # Two failures at most `limit` cases apart take this walk above its limit.
        weights=Weights(event=int(gaps.limit), no_event=-1),
        baseline=subject.values,
    )


def _share(subject: _Subject, factor: float, *, each: float, per_day: float) -> Chart:
    dependence = dependence_of(subject.values, per_day)
    rate = design_rate(
        int(subject.values.sum()),
        len(subject.values),
        factor=factor,
        cases_per_year=per_day * _YEAR_DAYS,
        false_alarms_per_year=each,
        dependence=dependence,
    )
    return Chart(
        feature=subject.feature,
        word=subject.word,
        direction=Direction.UP if factor > 1 else Direction.DOWN,
        design=rate.design,
        weights=rate.weights,
        baseline=subject.values,
        dependence=dependence,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    cloud: Cloud
    outside: NDArray[np.float64]
    """Which of the reference's observations are the farthest, as many as the radius leaves out."""


def _cloud(table: Table) -> tuple[tuple[tuple[str, NDArray[np.float64]], ...], _Found | None]:
    chosen = tuple(
        (name, values)
        for name, values in table.numbers
        if channel_of(name) in _ODD_CHANNELS
        and np.isfinite(values).mean() >= _WHOLE
        and not is_wordy(values)
    )
    if len(chosen) < _FEW_VALUES:
        return (), None
    baselines = tuple((name, np.sort(values[~np.isnan(values)])) for name, values in chosen)
    rows = np.stack(
        [
            normal_scores(baseline, values)
            for (_, baseline), (_, values) in zip(baselines, chosen, strict=True)
        ],
        axis=1,
    )
    rows = rows[~np.isnan(rows).any(axis=1)]
    if len(rows) < _ENOUGH_FOR_A_CLOUD:
        return (), None
    cloud = Cloud.of(rows)
    distances = cloud.distances(rows)
    outside = (distances > np.quantile(distances, USUAL)).astype(np.float64)
    return baselines, _Found(cloud=cloud, outside=outside)
