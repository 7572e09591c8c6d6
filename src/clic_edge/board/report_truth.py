"""How right a model was in a span, as far as the truth is known when the report is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from clic_edge.board.performance import performance
from clic_edge.board.report_columns import OUTPUT
from clic_edge.board.report_readers import Share, VolumePair, bias_of, wilson

if TYPE_CHECKING:
    from clic_edge.board.performance import Performance
    from clic_edge.ledger import Ledger
    from clic_edge.ledger.periods import Span

_INSTANT: Final = timedelta(microseconds=1)
_SAYS: Final = (".chosen", ".volume_mm3", ".area_mm2")


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthReport:
    """What a model said of a finding in the span, beside what turned out to be true."""

    finding: str
    sensitivity: Share
    specificity: Share
    pairs: int
    """Cases of which both numbers are known."""
    bias: float | None
    """The model's number minus the true one, in the model's unit."""
    lower: float | None
    upper: float | None
    """Limits of agreement."""


def truths_of(ledger: Ledger, digest: str, span: Span) -> tuple[TruthReport, ...]:
    """Return what is known of each finding, by name; findings without a truth are left out."""
    found = []
    for finding in _findings(ledger):
        known = performance(
            ledger, digest, finding, after=span.since - _INSTANT, until=span.until - _INSTANT
        )
        if known.sensitivity.n or known.specificity.n or known.pairs:
            found.append(_report(finding, known))
    return tuple(found)


def _findings(ledger: Ledger) -> list[str]:
    names = (
        name.removeprefix(OUTPUT)
        for name in ledger.features.names().numbers
        if name.startswith(OUTPUT) and name.endswith(_SAYS)
    )
    return sorted({name.rpartition(".")[0] for name in names})


def _report(finding: str, known: Performance) -> TruthReport:
    pairs = tuple(
        VolumePair(mean=(one.measured + one.value) / 2, difference=one.measured - one.value)
        for one in known.pairs
    )
    bias, lower, upper = bias_of(pairs)
    return TruthReport(
        finding=finding,
        sensitivity=wilson(known.sensitivity.hits, known.sensitivity.n),
        specificity=wilson(known.specificity.hits, known.specificity.n),
        pairs=len(pairs),
        bias=bias,
        lower=lower,
        upper=upper,
    )
