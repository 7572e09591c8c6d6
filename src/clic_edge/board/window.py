"""The last days of a model beside its reference: tests of every feature, and subgroups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

from clic_edge.board.numbers import finite
from clic_edge.board.references import ReferenceHead  # noqa: TC001 - FastAPI reads the annotations
from clic_edge.domain.monitoring import EVERY, Channel, Stratum
from clic_edge.drift.comparison import compare, compare_whole, expected_performance, grouped
from clic_edge.drift.reference import tabulate
from clic_edge.drift.statistics import NumberDifference, WordDifference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clic_edge.board.references import ReferenceBook
    from clic_edge.drift.comparison import Comparison, Estimate, Group, Whole
    from clic_edge.drift.reference import Table
    from clic_edge.ledger import Ledger

MOST: Final = 1500
"""Predictions that are looked at, the newest of the period: a page answers in a second."""
MOST_GROUPS: Final = 200
MUCH: Final = 0.05
"""Below this adjusted p-value a difference is marked."""
_GROUPED: Final = ("output.", "truth.", "rate.overridden")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What somebody wants to see beside a reference."""

    days: int = 30
    reference_id: str = ""
    others: bool = False
    """The studies of the same scanner under other software, in place of the reference's own."""
    by: str = "input.sex"
    """The feature whose values are the subgroups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A word that the reference never had."""

    word: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One feature of the window beside the reference; None where there is too little to say."""

    feature: str
    channel: Channel
    n_reference: int
    n: int
    shift: float | None
    """Of the means, in sd of the reference; None of words."""
    ks: float | None
    """Largest difference of the distribution functions; None of words."""
    wasserstein: float | None
    """In sd of the reference; None of words."""
    psi: float | None
    p_value: float | None
    """Of Kolmogorov-Smirnov; of words, of the G-test."""
    adjusted_p: float | None
    """By Benjamini and Hochberg over all features."""
    unseen: tuple[Unseen, ...]
    is_much: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """How whole studies differ: two tests, each with its p by permutation."""

    squared: float
    """Maximum mean discrepancy, squared."""
    p_value: float
    adjusted_p: float
    """By Benjamini and Hochberg over all tests of whole studies."""
    auc: float
    """Of a classifier that tries to tell the window from the reference; 0.5 is chance."""
    auc_p_value: float
    auc_adjusted_p: float
    is_much: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """One feature of one subgroup; None where the subgroup is too small to say anything of."""

    feature: str
    group: str
    n: int
    is_enough: bool
    mean: float | None
    low: float | None
    high: float | None
    """95 % interval of the mean."""
    difference: float | None
    """From everybody else, in sd of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRow:
    """How a classifier performs if its probabilities mean what they say."""

    category: str
    n: int
    sensitivity: Interval
    specificity: Interval
    auc: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Everything of it."""

    since: datetime
    """Of what is looked at: later than asked for where there is more than a page can look at."""
    until: datetime
    is_cut: bool
    references: tuple[ReferenceHead, ...]
    reference: ReferenceHead | None
    strata: tuple[Stratum, ...]
    """Whose studies these are."""
    n: int
    differences: tuple[Difference, ...]
    """The surest first."""
    together: Together | None
    """Of all features; None where fewer than 20 studies have them."""
    embedding: Together | None
    """Of the embedding alone; None where the model has none."""
    by: str
    possible: tuple[str, ...]
    """By which features there may be subgroups."""
    smallest: int
    groups: tuple[GroupRow, ...]
    expected: tuple[ExpectedRow, ...]
    """Only where a person has accepted the probabilities as calibrated."""


def window(
    ledger: Ledger, book: ReferenceBook, digest: str, *, asked: Beside, now: datetime
) -> Window:
    """Return a model's last days beside one of its references."""
    heads = book.heads(digest)
    head = next((one for one in heads if one.reference_id == asked.reference_id), None)
    head = head or next((one for one in heads if one.newest), None)
    begin = now - timedelta(days=asked.days)
    since = ledger.traffic.newest(digest, begin, most=MOST) or begin
    seen = ledger.observations.of_model(digest, after=since, until=now)
    ours = [one for one in seen if _belongs(one.stratum, head, others=asked.others)]
    reference = book.whole(head.reference_id) if head else None
    table = tabulate(ours)
    wholes = compare_whole(reference, ours) if reference else ()
    return Window(
        since=since,
        until=now,
        is_cut=since > begin,
        references=heads,
        reference=head,
        strata=tuple(sorted({one.stratum for one in ours}, key=str)),
        n=len(ours),
        differences=tuple(map(_difference, compare(reference, ours))) if reference and ours else (),
        together=_together(wholes, is_embedding=False),
        embedding=_together(wholes, is_embedding=True),
        by=asked.by,
        possible=_possible(table),
        smallest=book.policy.smallest_group,
        groups=tuple(_groups(table, asked.by, smallest=book.policy.smallest_group))[:MOST_GROUPS],
        expected=tuple(_expected(table)) if head and head.calibrated else (),
    )


def _belongs(stratum: Stratum, head: ReferenceHead | None, *, others: bool) -> bool:
    if head is None:
        return stratum != EVERY
    if not others:
        return stratum == head.stratum
    same = (stratum.manufacturer, stratum.model_name)
    return stratum != head.stratum and same == (head.stratum.manufacturer, head.stratum.model_name)


def _difference(one: Comparison) -> Difference:
    found = one.difference
    numbers = found if isinstance(found, NumberDifference) else None
    words = found if isinstance(found, WordDifference) else None
    return Difference(
        feature=one.feature,
        channel=one.channel,
        n_reference=found.n_reference,
        n=found.n,
        shift=finite(numbers.shift) if numbers else None,
        ks=finite(numbers.ks) if numbers else None,
        wasserstein=finite(numbers.wasserstein) if numbers else None,
        psi=finite(found.psi),
        p_value=finite(found.p_value),
        adjusted_p=finite(one.adjusted_p),
        unseen=tuple(Unseen(word=word, count=n) for word, n in words.unseen) if words else (),
        is_much=one.adjusted_p < MUCH,
    )


def _together(wholes: Iterable[Whole], *, is_embedding: bool) -> Together | None:
    found = next((one for one in wholes if one.is_embedding is is_embedding), None)
    if found is None or not isfinite(found.discrepancy.squared):
        return None
    return Together(
        squared=found.discrepancy.squared,
        p_value=found.discrepancy.p_value,
        adjusted_p=found.adjusted[0],
        auc=found.separation.auc,
        auc_p_value=found.separation.p_value,
        auc_adjusted_p=found.adjusted[1],
        is_much=min(found.adjusted) < MUCH,
    )


def _possible(table: Table) -> tuple[str, ...]:
    """Return the words of the input, and the band of age: what people group by."""
    words = [name for name, _ in table.words if name.startswith("input.")]
    bands = [name for name, _ in table.numbers if name == "input.age_band_years"]
    return tuple(sorted(words + bands))


def _groups(table: Table, by: str, *, smallest: int) -> Iterator[GroupRow]:
    for name, _ in table.numbers:
        if name.startswith(_GROUPED):
            yield from (_group(name, one) for one in grouped(table, name, by, smallest=smallest))


def _group(feature: str, one: Group) -> GroupRow:
    return GroupRow(
        feature=feature,
        group=one.group,
        n=one.n,
        is_enough=one.is_enough,
        mean=finite(one.mean),
        low=finite(one.low),
        high=finite(one.high),
        difference=finite(one.difference),
    )


def _expected(table: Table) -> Iterator[ExpectedRow]:
    for name, probabilities in table.numbers:
        if not name.endswith(".probability"):
            continue
        chosen = table.number(f"{name.removesuffix('probability')}chosen", table.length)
        kept = np.isfinite(probabilities) & np.isfinite(chosen)
        if kept.any():
            found = expected_performance(probabilities[kept], chosen[kept] > 0)
            yield ExpectedRow(
                category=name.removeprefix("output.").removesuffix(".probability"),
                n=found.n,
                sensitivity=_interval(found.sensitivity),
                specificity=_interval(found.specificity),
                auc=_interval(found.auc),
            )


def _interval(one: Estimate) -> Interval:
    return Interval(value=finite(one.value), low=finite(one.low), high=finite(one.high))
