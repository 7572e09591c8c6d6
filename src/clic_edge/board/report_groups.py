"""Subgroups with n and interval, or that they are too few; and performance as confidence tells it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from clic_edge.board.report_charts import finite
from clic_edge.board.report_readers import Share, last_words, wilson
from clic_edge.domain.assessment import Verdict
from clic_edge.domain.monitoring import EVERY, Observation
from clic_edge.drift.comparison import expected_performance, subgroups
from clic_edge.drift.reference import tabulate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clic_edge.drift.comparison import Estimate
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.periods import Assessed, Seen, Span

BY: Final = ("input.sex", "input.age_band_years", "input.model_name")
"""What divides studies into subgroups."""
_MEASURED: Final = (".volume_mm3", ".area_mm2", ".probability", "output.detections", ".mean")
_ALL: Final = "output."


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
    seen = ledger.periods.features(digest, span, begin=(*BY, _ALL))
    words = last_words(ledger, digest, span)
    return tuple(
        one
        for by in BY
        for one in (
            *_overridden(seen, words, by, smallest=smallest),
            *_measured(seen, by, smallest=smallest, at=span),
        )
    )


def _measured(seen: Sequence[Seen], by: str, *, smallest: int, at: Span) -> Iterator[GroupReport]:
    observed = [Observation(at=at.since, stratum=EVERY, features=one.features) for one in seen]
    for name, _ in tabulate(observed).numbers:
        if not name.startswith(_ALL) or not name.endswith(_MEASURED):
            continue
        for one in subgroups(observed, name, by, smallest=smallest):
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
    seen: Sequence[Seen], words: Sequence[Assessed], by: str, *, smallest: int
) -> Iterator[GroupReport]:
    group_of = {one.prediction_id: _group(one, by) for one in seen}
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


def _group(one: Seen, by: str) -> str:
    found = next((it for it in one.features if it.name == by), None)
    if found is None:
        return ""
    return found.text if found.number is None else f"{found.number:.4g}"


def expected_of(ledger: Ledger, digest: str, span: Span) -> tuple[Expected, ...]:
    """Return what a model's probabilities say of its errors, where a person calls them calibrated."""
    frozen = [one for one in ledger.monitoring.references(digest) if one.frozen_at < span.until]
    if not any(one.calibrated for one in frozen):
        return ()
    seen = ledger.periods.features(digest, span, begin=(_ALL,))
    observed = [Observation(at=span.since, stratum=EVERY, features=one.features) for one in seen]
    return tuple(_expected(observed))


def _expected(observed: Sequence[Observation]) -> Iterator[Expected]:
    table = tabulate(observed)
    for name, probabilities in table.numbers:
        if not name.endswith(".probability"):
            continue
        chosen = table.number(f"{name.removesuffix('probability')}chosen", len(observed))
        kept = np.isfinite(probabilities) & np.isfinite(chosen)
        if kept.any():
            found = expected_performance(probabilities[kept], chosen[kept] > 0)
            yield Expected(
                category=name.removeprefix(_ALL).removesuffix(".probability"),
                n=found.n,
                sensitivity=_interval(found.sensitivity),
                specificity=_interval(found.specificity),
                auc=_interval(found.auc),
            )


def _interval(one: Estimate) -> Interval:
    return Interval(value=finite(one.value), lower=finite(one.low), upper=finite(one.high))
