"""What a model's manufacturer may know of a site: counts, shares, alarms; no person, no study.

For post-market surveillance (Regulation (EU) 2017/745, Articles 83 to 86) and post-market
monitoring (Regulation (EU) 2024/1689, Article 72). A count below `FEWEST` is withheld, and with it
another wherever a total would give it away.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Final

from clic_edge.board.report import Unknown, model_report
from clic_edge.domain.constancy import Verdict
from clic_edge.domain.monitoring import Channel, Direction, Severity  # noqa: TC001 - as above
from clic_edge.domain.standing import CONFIGURATION, STOP_RULE, ModelState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clic_edge.board.report import Maker, ModelReport, Period, StateChange, Subject
    from clic_edge.board.report_readers import Share
    from clic_edge.board.report_volume import CodeShare
    from clic_edge.ledger import Ledger

FEWEST: Final = 5
"""Smaller counts, except none, are withheld."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many; None where so few are withheld."""

    name: str
    count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number of some observations, with its interval, where it has one."""

    name: str
    group: str = ""
    """A subgroup or finding; empty for all."""
    n: int
    value: float | None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftAlarm:
    """An alarm, by days."""

    opened: date
    closed: date | None
    severity: Severity
    channel: Channel
    chart: str
    direction: Direction
    scanner: str
    answered: bool
    """Whether a person has said what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of what the model may do; who did it is told by kind."""

    day: date
    was: ModelState | None
    now: ModelState
    by: str
    """``person``, ``configuration`` or ``stop rule``."""

    @property
    def is_incident(self) -> bool:
        """Whether the model was taken out of use."""
        return self.now is ModelState.SUSPENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class PostMarket:
    """All that leaves."""

    format: int = 1
    appliance: str
    made_at: datetime
    first: date
    last: date
    model_id: str
    version: str
    digest: str
    manufacturer: str
    fewest: int = FEWEST
    cases: tuple[Count, ...]
    series: tuple[Count, ...]
    refusals: tuple[Count, ...]
    failures: tuple[Count, ...]
    verdicts: tuple[Count, ...]
    measures: tuple[Measure, ...]
    """Proxies of performance, and times in seconds."""
    alarms: tuple[DriftAlarm, ...]
    constancy: tuple[Count, ...]
    """Runs on phantoms by verdict; none is withheld, because no patient is counted."""
    moves: tuple[Move, ...]
    suspensions: int
    """Moves that took the model out of use: what a site has of incidents."""
    unknown: tuple[Unknown, ...]


def post_market(ledger: Ledger, subject: Subject, period: Period, *, by: Maker) -> PostMarket:
    """Return what the manufacturer of a model may know of a period."""
    report = model_report(ledger, subject, period, by=by)
    volume, agreement = report.volume, report.agreement
    moves = tuple(_move(one) for one in report.history)
    return PostMarket(
        appliance=report.appliance,
        made_at=report.made_at,
        first=period.first,
        last=period.last,
        model_id=subject.model_id,
        version=subject.version,
        digest=subject.digest,
        manufacturer=subject.manufacturer,
        cases=counts(
            [
                ("delivered", volume.delivered),
                ("refused", volume.refused),
                ("failed", volume.failed),
                ("superseded", volume.superseded),
                ("open", volume.open),
            ],
            total="received",
        ),
        series=counts(
            [
                ("analysed", volume.series_analysed),
                ("refused", volume.series_refused),
                ("failed", volume.series_failed),
            ]
        ),
        refusals=_codes(volume.refusals),
        failures=_codes(volume.failures),
        verdicts=counts(
            [
                ("accepted", agreement.accepted),
                ("modified", agreement.modified),
                ("rejected", agreement.rejected),
            ],
            total="assessed",
        ),
        measures=tuple(_measures(report)),
        alarms=tuple(_alarms(report)),
        constancy=_verdicts(report),
        moves=moves,
        suspensions=sum(one.is_incident for one in moves),
        unknown=report.unknown,
    )


def counts(parts: Sequence[tuple[str, int]], *, total: str = "") -> tuple[Count, ...]:
    """Return counts with the few withheld, so that neither total nor rest gives one away."""
    withheld = {name for name, count in parts if 0 < count < FEWEST}
    rest = sorted((count, name) for name, count in parts if count and name not in withheld)
    if len(withheld) == 1 and rest:
        withheld.add(rest[0][1])
    shown = [Count(name=name, count=None if name in withheld else n) for name, n in parts]
    if not total:
        return tuple(shown)
    whole = sum(count for _, count in parts)
    return (Count(name=total, count=None if 0 < whole < FEWEST else whole), *shown)


def _codes(shares: Iterable[CodeShare]) -> tuple[Count, ...]:
    return counts([(one.code, one.count) for one in shares])


def _measures(report: ModelReport) -> Iterable[Measure]:
    volume, agreement = report.volume, report.agreement
    if volume.delivered >= FEWEST:
        for name, value in (
            ("seconds-p50", volume.seconds_p50),
            ("seconds-p95", volume.seconds_p95),
        ):
            yield Measure(name=name, n=volume.delivered, value=value)
    yield _share("overridden", "", agreement.overridden)
    for dice in agreement.dice:
        if dice.n >= FEWEST:
            yield Measure(
                name="dice-median-and-quartiles",
                group=dice.finding,
                n=dice.n,
                value=dice.median,
                lower=dice.p25,
                upper=dice.p75,
            )
    for one in agreement.volumes:
        if one.n >= FEWEST:
            yield Measure(
                name="volume-bias-mm3-and-limits-of-agreement",
                group=one.finding,
                n=one.n,
                value=one.bias,
                lower=one.lower,
                upper=one.upper,
            )
    for truth in report.truths:
        yield _share("sensitivity", truth.finding, truth.sensitivity)
        yield _share("specificity", truth.finding, truth.specificity)
    for group in report.groups:
        few = round((group.value or 0.0) * group.n)
        hidden = group.what == "overridden" and _gives_away(few, group.n)
        if group.is_enough and group.n >= FEWEST and not hidden:
            yield Measure(
                name=f"{group.what} by {group.by}",
                group=group.group,
                n=group.n,
                value=group.value,
                lower=group.lower,
                upper=group.upper,
            )


def _share(name: str, group: str, share: Share) -> Measure:
    if _gives_away(share.count, share.n):
        return Measure(name=name, group=group, n=0, value=None)
    return Measure(
        name=name, group=group, n=share.n, value=share.share, lower=share.lower, upper=share.upper
    )


def _gives_away(count: int, n: int) -> bool:
    return 0 < count < FEWEST or 0 < n - count < FEWEST


def _alarms(report: ModelReport) -> Iterable[DriftAlarm]:
    for one in report.alarms:
        yield DriftAlarm(
            opened=one.opened_at.date(),
            closed=one.closed_at.date() if one.closed_at else None,
            severity=one.severity,
            channel=one.channel,
            chart=one.chart,
            direction=one.direction,
            scanner=one.scanner,
            answered=bool(one.answers),
        )


def _verdicts(report: ModelReport) -> tuple[Count, ...]:
    verdicts = Counter(one.verdict for one in report.constancy)
    return tuple(Count(name=str(one), count=verdicts[one]) for one in Verdict if verdicts[one])


def _move(one: StateChange) -> Move:
    by = one.person if one.person in {CONFIGURATION, STOP_RULE} else "person"
    return Move(day=one.at.date(), was=one.was, now=one.now, by=by)
