"""What readers said of a model's results: shares with Wilson's interval, Dice, Bland-Altman."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

from clic_edge.board import performance
from clic_edge.domain.assessment import Verdict
from clic_edge.ledger.assessments import standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clic_edge.ledger import Ledger
    from clic_edge.ledger.periods import Assessed, Span

_Z: Final = 1.959963984540054
"""Standard normal deviate of 97.5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Some of n, with the 95 % interval of Wilson (JASA 1927;22:209-212)."""

    count: int
    n: int
    share: float | None
    """None of nothing."""
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCount:
    """How often readers gave a reason."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiceReport:
    """How far readers' own segments overlap with the model's."""

    finding: str
    n: int
    median: float
    p25: float
    p75: float
    lowest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePair:
    """One segment: the mean of both volumes, and the model's minus the reader's, in mm³."""

    mean: float
    difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeAgreement:
    """Model's minus reader's volume (Bland and Altman, Lancet 1986;327:307-310), in mm³."""

    finding: str
    n: int
    bias: float
    lower: float | None
    upper: float | None
    """Limits of agreement; None of one pair."""
    pairs: tuple[VolumePair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The last word of each reader on each finding, given in the period."""

    assessed: int
    accepted: int
    modified: int
    rejected: int
    overridden: Share
    """Modified or rejected."""
    reasons: tuple[ReasonCount, ...]
    dice: tuple[DiceReport, ...]
    volumes: tuple[VolumeAgreement, ...]


def agreement_of(ledger: Ledger, digest: str, span: Span) -> Agreement:
    """Return what readers said of a model in a span."""
    return agreement(last_words(ledger, digest, span))


def last_words(ledger: Ledger, digest: str, span: Span) -> tuple[Assessed, ...]:
    """Return the last word of each reader on each finding."""
    given = ledger.periods.assessed(digest, span)
    lasting = set(standing(one.assessment for one in given))
    return tuple(one for one in given if one.assessment in lasting)


def agreement(words: Sequence[Assessed]) -> Agreement:
    """Return what these words say together."""
    verdicts = Counter(one.assessment.verdict for one in words)
    reasons = Counter(str(one.assessment.reason) for one in words if one.assessment.reason)
    ranked = sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
    findings = sorted({one.assessment.finding for one in words})
    by_finding = [(name, [w for w in words if w.assessment.finding == name]) for name in findings]
    return Agreement(
        assessed=len(words),
        accepted=verdicts[Verdict.ACCEPTED],
        modified=verdicts[Verdict.MODIFIED],
        rejected=verdicts[Verdict.REJECTED],
        overridden=wilson(len(words) - verdicts[Verdict.ACCEPTED], len(words)),
        reasons=tuple(ReasonCount(reason=name, count=count) for name, count in ranked),
        dice=tuple(one for name, own in by_finding if (one := _dice(name, own))),
        volumes=tuple(it for name, own in by_finding if (it := _volumes(name, own))),
    )


def wilson(count: int, n: int) -> Share:
    """Return a share with its interval."""
    told = performance.Share(hits=count, n=n)
    if n == 0:
        return Share(count=count, n=n, share=None, lower=None, upper=None)
    return Share(count=count, n=n, share=told.value, lower=told.low, upper=told.high)


def bias_of(pairs: Sequence[VolumePair]) -> tuple[float | None, float | None, float | None]:
    """Return the mean of differences and the limits of agreement; of a single pair no limits."""
    if not pairs:
        return None, None, None
    differences = np.array([one.difference for one in pairs])
    bias = float(differences.mean())
    if len(pairs) == 1:
        return bias, None, None
    half = _Z * float(differences.std(ddof=1))
    return bias, bias - half, bias + half


def _dice(name: str, words: Iterable[Assessed]) -> DiceReport | None:
    found = [one.assessment.dice for one in words]
    values = [one for one in found if one is not None and isfinite(one)]
    if not values:
        return None
    p25, median, p75 = (float(one) for one in np.percentile(values, [25, 50, 75]))
    return DiceReport(
        finding=name, n=len(values), median=median, p25=p25, p75=p75, lowest=min(values)
    )


def _volumes(name: str, words: Iterable[Assessed]) -> VolumeAgreement | None:
    pairs = tuple(
        VolumePair(mean=(ours + theirs) / 2, difference=ours - theirs)
        for one in words
        if (ours := one.ours_mm3) is not None
        and (theirs := one.assessment.volume_mm3) is not None
        and isfinite(ours + theirs)
    )
    bias, lower, upper = bias_of(pairs)
    if bias is None:
        return None
    return VolumeAgreement(
        finding=name, n=len(pairs), bias=bias, lower=lower, upper=upper, pairs=pairs
    )
