"""How right a model was, as far as the truth is known: shares with their intervals, by month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from clic_edge.domain.truth import Outcome
    from clic_edge.ledger import Ledger

_Z: Final = 1.959963984540054
"""Of the standard normal distribution, for 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of how many, with Wilson's 95 % interval."""

    hits: int
    n: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.hits / self.n if self.n else None

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self._ends()[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self._ends()[1]

    def _ends(self) -> tuple[float, float]:
        """E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209."""
        if not self.n:
            return (0.0, 1.0)
        share, weight = self.hits / self.n, _Z**2 / self.n
        middle = (share + weight / 2) / (1 + weight)
        half = _Z / (1 + weight) * sqrt(share * (1 - share) / self.n + weight / (4 * self.n))
        return (max(0.0, middle - half), min(1.0, middle + half))


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month's cases of which the truth is known."""

    begins: date
    sensitivity: Share
    specificity: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The model's number beside the true one."""

    at: datetime
    measured: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """What is known of a finding of one model. Readers saw the model, so reports lean to it."""

    sensitivity: Share
    specificity: Share
    months: tuple[Month, ...]
    """Oldest first; months without a truth are left out."""
    pairs: tuple[Pair, ...]


def performance(
    ledger: Ledger, model_digest: str, finding: str, *, after: datetime | None, until: datetime
) -> Performance:
    """Return how right a model was on what it said after a moment, up to another."""
    found = ledger.truths.outcomes(model_digest, finding, after=after, until=until)
    by_month: dict[date, list[Outcome]] = {}
    for one in found:
        by_month.setdefault(date(one.at.year, one.at.month, 1), []).append(one)
    return Performance(
        sensitivity=_share(found, of=True),
        specificity=_share(found, of=False),
        months=tuple(
            Month(
                begins=begins,
                sensitivity=_share(some, of=True),
                specificity=_share(some, of=False),
            )
            for begins, some in sorted(by_month.items())
        ),
        pairs=tuple(_pairs(found)),
    )


def _share(outcomes: Sequence[Outcome], *, of: bool) -> Share:
    asked = [one for one in outcomes if one.present is of and one.said is not None]
    return Share(hits=sum(one.said is of for one in asked), n=len(asked))


def _pairs(outcomes: Iterable[Outcome]) -> Iterable[Pair]:
    for one in outcomes:
        if one.measured is not None and one.value is not None:
            yield Pair(at=one.at, measured=one.measured, value=one.value)
