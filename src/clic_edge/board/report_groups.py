"""Subgroups with n and interval, or that they are too few; and performance as confidence tells it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from clic_edge.board.numbers import finite
from clic_edge.board.report_columns import OUTPUT, columns, groups_by
from clic_edge.board.report_readers import Share, last_words, wilson
from clic_edge.domain.assessment import Verdict
from clic_edge.drift.comparison import expected_performance, group_means
from clic_edge.ledger.periods import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clic_edge.domain.feature_table import FeatureTable
    from clic_edge.drift.comparison import Estimate
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.periods import Assessed

BY: Final = ("input.sex", "input.age_band_years", "input.model_name")
"""What divides studies into subgroups."""
_MEASURED: Final = (".volume_mm3", ".area_mm2", ".probability", "output.detections", ".mean")
_LATE: Final = timedelta(days=62)
"""Before the span: results that readers assess in it may be as old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupReport:
    """One feature, or the readers' overrides, of one subgroup."""

    by: str
    group: str
    what: str
    """A feature of the output, or ``overridden``."""
    n: int
    is_enough: bool
    value: float | None
    """Mean, or share; None where there are too few."""
    lower: float | None
    upper: float | None
    """95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number and its 95 % interval."""

    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How a classifier performs if its probabilities mean what they say."""

    category: str
    n: int
    sensitivity: Interval
    specificity: Interval
    auc: Interval


def groups_of(ledger: Ledger, digest: str, span: Span, *, smallest: int) -> tuple[GroupReport, ...]:
    """Return what a model found, and readers overrode, by subgroup."""
    table = columns(ledger, digest, span, *BY, OUTPUT)
    words = last_words(ledger, digest, span)
    earlier = Span(since=span.since - _LATE, until=span.until)
    assessed = columns(ledger, digest, earlier, *BY) if words else table
    return tuple(
        one
        for by in BY
        for one in (
            *_overridden(assessed, words, by, smallest=smallest),
            *_measured(table, by, smallest=smallest),
        )
    )


def _measured(table: FeatureTable, by: str, *, smallest: int) -> Iterator[GroupReport]:
    groups = groups_by(table, by)
    for name, values in table.numbers:
        if not name.startswith(OUTPUT) or not name.endswith(_MEASURED):
            continue
        for one in group_means(values, groups, smallest=smallest):
            yield GroupReport(
                by=by,
                group=one.group,
                what=name,
                n=one.n,
                is_enough=one.is_enough,
                value=finite(one.mean),
                lower=finite(one.low),
                upper=finite(one.high),
            )


def _overridden(
    table: FeatureTable, words: Sequence[Assessed], by: str, *, smallest: int
) -> Iterator[GroupReport]:
    group_of = dict(zip(table.prediction_ids, groups_by(table, by), strict=True))
    asked, overridden = Counter[str](), Counter[str]()
    for one in words:
        group = group_of.get(one.assessment.prediction_id, "")
        asked[group] += 1
        overridden[group] += one.assessment.verdict is not Verdict.ACCEPTED
    for group, n in sorted(asked.items()):
        if group:
            share, is_enough = wilson(overridden[group], n), n >= smallest
            yield _share(share, by, group, is_enough=is_enough)


def _share(share: Share, by: str, group: str, *, is_enough: bool) -> GroupReport:
    return GroupReport(
        by=by,
        group=group,
        what="overridden",
        n=share.n,
        is_enough=is_enough,
        value=share.share if is_enough else None,
        lower=share.lower if is_enough else None,
        upper=share.upper if is_enough else None,
    )


def expected_of(ledger: Ledger, digest: str, span: Span) -> tuple[Expected, ...]:
    """Return what a model's probabilities say of its errors, where a person calls them calibrated."""
    frozen = [one for one in ledger.monitoring.references(digest) if one.frozen_at < span.until]
    if not any(one.calibrated for one in frozen):
        return ()
    return tuple(_expected(columns(ledger, digest, span, OUTPUT)))


def _expected(table: FeatureTable) -> Iterator[Expected]:
    for name, probabilities in table.numbers:
        if not name.endswith(".probability"):
            continue
        chosen = table.number(f"{name.removesuffix('probability')}chosen")
        kept = np.isfinite(probabilities) & np.isfinite(chosen)
        if kept.any():
            found = expected_performance(probabilities[kept], chosen[kept] > 0)
            yield Expected(
                category=name.removeprefix(OUTPUT).removesuffix(".probability"),
                n=found.n,
                sensitivity=_interval(found.sensitivity),
                specificity=_interval(found.specificity),
                auc=_interval(found.auc),
            )


def _interval(one: Estimate) -> Interval:
    return Interval(value=finite(one.value), lower=finite(one.low), upper=finite(one.high))
