"""What readers say of a model, what turned out to be true, and whether probabilities hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Final

from clic_edge.board.performance import performance
from clic_edge.board.report_readers import Agreement, Share, agreement, last_words, wilson
from clic_edge.domain.assessment import Verdict
from clic_edge.ledger.periods import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clic_edge.board.performance import Performance
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.periods import Assessed

MOST: Final = 3000
"""Words that are looked at, the newest of the period: a page answers in a second."""
MOST_PREDICTIONS: Final = 20_000
WAITED: Final = timedelta(days=30)
"""So long before a reader's word lies the prediction that it is about, at most."""
BINS: Final = 10
_PROBABILITY: Final = ".probability"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiceValues:
    """The overlap of each segment that a reader drew anew with the model's."""

    finding: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Answers of about the same probability, and how often they were right to be given."""

    predicted: float
    """Their mean."""
    observed: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The probabilities of one category beside what readers said."""

    category: str
    n: int
    error: float
    """Expected calibration error: the mean distance of predicted and observed over all answers."""
    bins: tuple[CalibrationBin, ...]
    """Of ten, those that are not empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthRow:
    """A finding beside the truth that came later; of cases that have one."""

    finding: str
    found_present: int
    """The model found it, and it was there; the other three likewise."""
    found_absent: int
    missed_present: int
    cleared_absent: int
    sensitivity: Share
    specificity: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Everything of it. Readers saw the model's answer, so their words lean towards it."""

    since: datetime
    until: datetime
    is_cut: bool
    """There are more words in the period than a page can look at."""
    agreement: Agreement
    dice: tuple[DiceValues, ...]
    calibration: tuple[Calibration, ...]
    truths: tuple[TruthRow, ...]
    """Of what the model said in the period."""


def readers(ledger: Ledger, digest: str, *, days: int, now: datetime) -> Readers:
    """Return what readers said of a model in the last days."""
    begin = now - timedelta(days=days)
    since = ledger.traffic.newest_words(digest, begin, most=MOST) or begin
    words = last_words(ledger, digest, Span(since=since, until=now))
    return Readers(
        since=since,
        until=now,
        is_cut=since > begin,
        agreement=agreement(words),
        dice=tuple(_dice(words)),
        calibration=tuple(_calibration(ledger, digest, words, until=now)),
        truths=tuple(
            _truth(one, performance(ledger, digest, one, after=begin, until=now))
            for one in ledger.traffic.judged(digest, begin)
        ),
    )


def _truth(finding: str, found: Performance) -> TruthRow:
    ill, well = found.sensitivity, found.specificity
    return TruthRow(
        finding=finding,
        found_present=ill.hits,
        missed_present=ill.n - ill.hits,
        cleared_absent=well.hits,
        found_absent=well.n - well.hits,
        sensitivity=wilson(ill.hits, ill.n),
        specificity=wilson(well.hits, well.n),
    )


def _dice(words: Sequence[Assessed]) -> Iterator[DiceValues]:
    found: dict[str, list[float]] = {}
    for one in words:
        value = one.assessment.dice
        if value is not None and isfinite(value):
            found.setdefault(one.assessment.finding, []).append(value)
    for finding, values in sorted(found.items()):
        yield DiceValues(finding=finding, values=tuple(values))


def _calibration(
    ledger: Ledger, digest: str, words: Sequence[Assessed], *, until: datetime
) -> Iterator[Calibration]:
    """Yield a curve for each category that has a probability and was judged."""
    judged = {one.assessment.finding for one in words}
    known = set(ledger.features.names().numbers)
    categories = sorted(one for one in judged if f"output.{one}{_PROBABILITY}" in known)
    if not categories:
        return
    names = [f"output.{one}.{what}" for one in categories for what in ("probability", "chosen")]
    before = min(one.assessment.at for one in words) - WAITED
    after = ledger.traffic.newest(digest, before, most=MOST_PREDICTIONS)
    table = ledger.features.table(digest, after=after or before, until=until, names=names)
    row_of = {one: row for row, one in enumerate(table.prediction_ids)}
    for category in categories:
        said = table.number(f"output.{category}.probability")
        chosen = table.number(f"output.{category}.chosen")
        pairs = []
        for one in words:
            row = row_of.get(one.assessment.prediction_id)
            if one.assessment.finding != category or row is None:
                continue
            right = _was_right(one.assessment.verdict)
            if right is not None and isfinite(said[row]) and isfinite(chosen[row]):
                pairs.append((float(said[row]), bool(chosen[row] > 0) is right))
        if pairs:
            yield _curve(category, pairs)


def _was_right(verdict: Verdict) -> bool | None:
    return {Verdict.ACCEPTED: True, Verdict.REJECTED: False}.get(verdict)


def _curve(category: str, pairs: Sequence[tuple[float, bool]]) -> Calibration:
    groups: dict[int, list[tuple[float, bool]]] = {}
    for one in pairs:
        groups.setdefault(min(int(one[0] * BINS), BINS - 1), []).append(one)
    bins, error = [], 0.0
    for _, group in sorted(groups.items()):
        predicted = sum(probability for probability, _ in group) / len(group)
        present = sum(one for _, one in group)
        bins.append(CalibrationBin(predicted=predicted, observed=wilson(present, len(group))))
        error += abs(predicted - present / len(group)) * len(group)
    return Calibration(category=category, n=len(pairs), error=error / len(pairs), bins=tuple(bins))
