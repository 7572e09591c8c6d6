"""What a report says of one version of a model in a span of time: values, and no identity.

Page, PDF and JSON of a report are made of one `ModelReport`, so that they tell the same numbers.
Nothing of it names a case, a study, a subject or a reader.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from clic_edge.board.report_charts import ChartReport, ReferenceReport, charted
from clic_edge.board.report_groups import Expected, GroupReport, expected_of, groups_of
from clic_edge.board.report_readers import Agreement, agreement_of
from clic_edge.board.report_truth import TruthReport, truths_of
from clic_edge.board.report_volume import Volume, volume_of
from clic_edge.domain.constancy import Verdict  # noqa: TC001 - pydantic reads the annotations
from clic_edge.domain.monitoring import Channel, Direction, Severity  # noqa: TC001 - as above
from clic_edge.domain.standing import ModelState
from clic_edge.ledger.periods import Span

if TYPE_CHECKING:
    from clic_edge.domain.monitoring import Alarm
    from clic_edge.domain.standing import StateEvent
    from clic_edge.drift.plan import Policy
    from clic_edge.ledger import Ledger

FEW_ASSESSMENTS: Final = 30
"""Below, what readers say is told with a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Days in a row, in UTC."""

    first: date
    last: date

    @property
    def span(self) -> Span:
        """From the first moment of the first day to that after the last day."""
        begin = datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC)
        return Span(since=begin, until=begin + timedelta(days=(self.last - self.first).days + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The version of a model that a report is about."""

    model_id: str
    version: str
    digest: str
    title: str = ""
    manufacturer: str = ""
    intended_use: str = ""
    """As the package declares it; these three are empty where the package is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateIn:
    """What the model may do in a pipeline."""

    pipeline: str
    state: ModelState


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A move of the model."""

    at: datetime
    pipeline: str
    was: ModelState | None
    now: ModelState
    person: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A person has seen an alarm."""

    at: datetime
    person: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmReport:
    """An alarm that was open in the period, or on a part of it."""

    opened_at: datetime
    closed_at: datetime | None
    severity: Severity
    channel: Channel
    chart: str
    """The feature's name; a word that was read from images is left out."""
    direction: Direction
    scanner: str
    is_event: bool
    """Something came for the first time, and no chart left its limits."""
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstancyRun:
    """A run of a constancy set on the model."""

    at: datetime
    protocol: str
    version: int
    pipeline: str
    verdict: Verdict
    reason: str
    """What failed, in a sentence; empty where it passed."""


class Unknown(StrEnum):
    """What the report does not know, and a reader of it should."""

    UNFINISHED = "unfinished"
    """It was made before the period ended."""
    INTENDED_USE = "intended-use"
    SHADOW = "shadow"
    """It was never active: what was delivered of its cases was another model's."""
    NO_HISTORY = "no-history"
    """No move of the model is on record: which cases were its own is told from its answers."""
    NO_REFERENCE = "no-reference"
    PROVISIONAL = "provisional"
    STRANGERS = "strangers"
    """Scanners without a reference: their studies are not charted."""
    NO_ASSESSMENTS = "no-assessments"
    FEW_ASSESSMENTS = "few-assessments"
    READERS_SAW_IT = "readers-saw-it"
    """Readers had seen the result when they judged it: agreement is no accuracy."""
    NO_TRUTH = "no-truth"
    NO_CONSTANCY = "no-constancy"
    OPEN_CASES = "open-cases"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """All that a report says."""

    format: int = 1
    appliance: str
    made_at: datetime
    period: Period
    subject: Subject
    states: tuple[StateIn, ...]
    """At the end of the period."""
    history: tuple[StateChange, ...]
    volume: Volume
    references: tuple[ReferenceReport, ...]
    charts: tuple[ChartReport, ...]
    alarms: tuple[AlarmReport, ...]
    constancy: tuple[ConstancyRun, ...]
    agreement: Agreement
    smallest_group: int
    """Observations; of a smaller subgroup nothing is said."""
    truths: tuple[TruthReport, ...]
    """What turned out to be true of the period's cases until the report was made."""
    groups: tuple[GroupReport, ...]
    expected: tuple[Expected, ...]
    unknown: tuple[Unknown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Which appliance makes a report, when, and by which policy its charts were drawn up."""

    appliance: str
    at: datetime
    policy: Policy


def model_report(ledger: Ledger, subject: Subject, period: Period, *, by: Maker) -> ModelReport:
    """Return what there is to say of a model in a period, the same whenever it is asked again."""
    span = period.span
    events = [one for one in ledger.standing.history() if one.placement.digest == subject.digest]
    references, charts = charted(ledger, subject.digest, span, policy=by.policy)
    volume = volume_of(ledger, subject.digest, span, events=events)
    agreement = agreement_of(ledger, subject.digest, span)
    report = ModelReport(
        appliance=by.appliance,
        made_at=by.at,
        period=period,
        subject=subject,
        states=_states(events, span),
        history=tuple(_change(one) for one in events if span.since <= one.at < span.until),
        volume=volume,
        references=references,
        charts=charts,
        alarms=alarms_of(ledger, subject.digest, span),
        constancy=constancy_of(ledger, subject.digest, span),
        agreement=agreement,
        smallest_group=by.policy.smallest_group,
        truths=truths_of(ledger, subject.digest, span),
        groups=groups_of(ledger, subject.digest, span, smallest=by.policy.smallest_group),
        expected=expected_of(ledger, subject.digest, span),
        unknown=(),
    )
    return _with_unknown(report, knows_history=bool(events))


def month(year: int, number: int) -> Period:
    """Return the days of a month."""
    first = date(year, number, 1)
    following = (first + timedelta(days=32)).replace(day=1)
    return Period(first=first, last=following - timedelta(days=1))


def _states(events: list[StateEvent], span: Span) -> tuple[StateIn, ...]:
    last = {one.placement.pipeline: one.now for one in events if one.at < span.until}
    return tuple(StateIn(pipeline=name, state=last[name]) for name in sorted(last))


def _change(event: StateEvent) -> StateChange:
    return StateChange(
        at=event.at,
        pipeline=event.placement.pipeline,
        was=event.was,
        now=event.now,
        person=event.person,
        reason=event.reason,
    )


def alarms_of(ledger: Ledger, digest: str, span: Span) -> tuple[AlarmReport, ...]:
    """Return the alarms of a model that were open in a span, oldest first."""
    answers = ledger.monitoring.acknowledgements()
    return tuple(
        AlarmReport(
            opened_at=one.opened_at,
            closed_at=one.closed_at,
            severity=one.severity,
            channel=one.channel,
            chart=one.chart.partition("=")[0],
            direction=one.direction,
            scanner=str(one.stratum),
            is_event=one.is_event,
            answers=tuple(
                Answer(at=it.at, person=it.person, reason=it.reason)
                for it in answers
                if it.alarm_id == one.alarm_id
            ),
        )
        for one in ledger.monitoring.alarms()
        if one.model_digest == digest and _was_open(one, span)
    )


def constancy_of(ledger: Ledger, digest: str, span: Span) -> tuple[ConstancyRun, ...]:
    """Return the constancy runs of a model that began in a span, oldest first."""
    return tuple(
        ConstancyRun(
            at=one.started_at,
            protocol=one.protocol,
            version=one.version,
            pipeline=one.pipeline,
            verdict=one.verdict,
            reason=one.reason,
        )
        for one in ledger.constancy.runs(since=span.since)
        if one.model_digest == digest and one.started_at < span.until
    )


def _was_open(alarm: Alarm, span: Span) -> bool:
    return alarm.opened_at < span.until and (
        alarm.closed_at is None or alarm.closed_at >= span.since
    )


def _was_active(report: ModelReport) -> bool:
    states = {one.state for one in report.states} | {one.was for one in report.history}
    return ModelState.ACTIVE in states | {one.now for one in report.history}


def _with_unknown(report: ModelReport, *, knows_history: bool) -> ModelReport:
    """Return the report with what it does not know."""
    assessed = report.agreement.assessed
    holds = {
        Unknown.UNFINISHED: report.made_at < report.period.span.until,
        Unknown.INTENDED_USE: not report.subject.intended_use,
        Unknown.SHADOW: knows_history and not _was_active(report),
        Unknown.NO_HISTORY: not knows_history,
        Unknown.NO_REFERENCE: not report.references,
        Unknown.PROVISIONAL: any(one.provisional for one in report.references),
        Unknown.STRANGERS: any(one.is_event and one.chart == "stratum" for one in report.alarms),
        Unknown.NO_ASSESSMENTS: not assessed,
        Unknown.FEW_ASSESSMENTS: 0 < assessed < FEW_ASSESSMENTS,
        Unknown.READERS_SAW_IT: bool(assessed),
        Unknown.NO_TRUTH: not report.truths,
        Unknown.NO_CONSTANCY: not report.constancy,
        Unknown.OPEN_CASES: report.volume.open > 0,
    }
    return replace(report, unknown=tuple(one for one in Unknown if holds[one]))
