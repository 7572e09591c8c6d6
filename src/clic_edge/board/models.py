"""Every model of every pipeline: what it may do, what it did in the last day, how it came to that."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from clic_edge.domain.constancy import Verdict  # noqa: TC001 - FastAPI reads the annotations
from clic_edge.domain.monitoring import Severity
from clic_edge.domain.standing import TRANSITIONS, ModelState
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clic_edge.domain.constancy import Run
    from clic_edge.domain.monitoring import Alarm
    from clic_edge.domain.standing import Placement, StateEvent
    from clic_edge.ledger import Ledger

LISTED: Final = 10
"""Cases that are listed; the log has them all."""
HISTORY: Final = 200
"""Moves that are listed."""
TODAY: Final = timedelta(days=1)
YEAR: Final = timedelta(days=366)
COMPARED: Final = timedelta(days=90)
"""How far back a challenger is compared with the active model."""
_ORDER: Final = tuple(reversed(ModelState))


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """Of a segment or category, over the cases that both models answered."""

    name: str
    value: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Farthest:
    """A case on which two models disagree."""

    case_id: str
    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """What a model did beside the active one."""

    since: datetime
    cases: int
    series: int
    refused: int
    broken: int
    dice: tuple[Median, ...]
    least_alike: tuple[Farthest, ...]
    """By Dice, the least alike first; a few."""
    differences: tuple[Median, ...]
    """Of the probability of each category."""
    farthest_apart: tuple[Farthest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """A model in a pipeline, as the strip on its page tells it."""

    pipeline: str
    model_id: str
    version: str
    digest: str
    state: ModelState
    since: datetime
    person: str
    reason: str
    may_become: tuple[ModelState, ...]
    """Where a person may move it."""
    open_alarms: int
    severity: Severity | None
    """Of the worst that is open."""
    studies: int
    """In the last 24 hours, and so are those that follow."""
    refused: int
    failed: int
    p95_seconds: float | None
    """From a study's arrival to its delivery, in 95 of 100."""
    constancy: Verdict | None
    """Of its newest run that was held against a record; None where there was none in a year."""
    constancy_at: datetime | None
    shadow: Shadow | None
    """None of a model that does not run in the shadow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move of a model from state to state."""

    at: datetime
    pipeline: str
    model_id: str
    version: str
    was: ModelState | None
    now: ModelState
    person: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """All of them."""

    models: tuple[ModelStatus, ...]
    """By pipeline, what speaks first."""
    moves: tuple[Move, ...]
    """The newest first."""
    links: int | None
    """Of the chain of all moves; None where it is broken."""
    broken: str
    """What is wrong with the chain; empty where it is whole."""

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Each once, in the order of their names."""
        return tuple(dict.fromkeys(one.pipeline for one in self.models))


def models(ledger: Ledger, now: datetime) -> Models:
    """Return every model at a moment, with the newest moves."""
    events = ledger.standing.history()
    alarms = ledger.monitoring.alarms(is_open=True)
    newest = {(one.placement.pipeline, one.placement.digest): one for one in events}
    ordered = sorted(
        newest.values(),
        key=lambda one: (one.placement.pipeline, _ORDER.index(one.now), -one.seq),
    )
    links, broken = _chain(ledger)
    return Models(
        models=tuple(_status(ledger, one, _of_model(alarms, one), now=now) for one in ordered),
        moves=tuple(_move(one) for one in reversed(events[-HISTORY:])),
        links=links,
        broken=broken,
    )


def model(ledger: Ledger, pipeline: str, digest: str, *, now: datetime) -> ModelStatus | None:
    """Return one model; None where the history does not know it."""
    event = ledger.standing.standing(pipeline).get(digest)
    if event is None:
        return None
    return _status(ledger, event, _of_model(ledger.monitoring.alarms(is_open=True), event), now=now)


def _of_model(alarms: Iterable[Alarm], event: StateEvent) -> list[Alarm]:
    return [one for one in alarms if one.model_digest == event.placement.digest]


def _chain(ledger: Ledger) -> tuple[int | None, str]:
    try:
        return ledger.standing.verify(), ""
    except Defect as defect:
        return None, defect.sentence


def _move(event: StateEvent) -> Move:
    return Move(
        at=event.at,
        pipeline=event.placement.pipeline,
        model_id=event.placement.model_id,
        version=event.placement.version,
        was=event.was,
        now=event.now,
        person=event.person,
        reason=event.reason,
    )


def _status(
    ledger: Ledger, event: StateEvent, alarms: list[Alarm], *, now: datetime
) -> ModelStatus:
    placed = event.placement
    work = ledger.traffic.work(placed.pipeline, placed.digest, now - TODAY)
    order = list(Severity)
    times = [one.total_seconds() for one in work.times]
    run = _newest_run(ledger, placed, now)
    return ModelStatus(
        pipeline=placed.pipeline,
        model_id=placed.model_id,
        version=placed.version,
        digest=placed.digest,
        state=event.now,
        since=event.at,
        person=event.person,
        reason=event.reason,
        may_become=tuple(one for one in ModelState if one in TRANSITIONS[event.now]),
        open_alarms=len(alarms),
        severity=max((one.severity for one in alarms), key=order.index, default=None),
        studies=work.studies,
        refused=work.refused,
        failed=work.failed,
        p95_seconds=float(np.percentile(times, 95)) if times else None,
        constancy=run.verdict if run else None,
        constancy_at=run.started_at if run else None,
        shadow=_shadow(ledger, placed, max(event.at, now - COMPARED))
        if event.now is ModelState.SHADOW
        else None,
    )


def _newest_run(ledger: Ledger, placed: Placement, now: datetime) -> Run | None:
    runs = ledger.constancy.runs(pipeline=placed.pipeline, since=now - YEAR)
    own = [one for one in runs if one.model_digest == placed.digest and one.record_id]
    return own[-1] if own else None


def _shadow(ledger: Ledger, placed: Placement, since: datetime) -> Shadow:
    where = (placed.pipeline, placed.digest, since)
    failures = Counter(one.refused for one in ledger.shadows.failures(*where))
    cases, series = ledger.shadows.seen(*where)
    alike = ledger.shadows.agreement(*where)
    apart = ledger.shadows.differences(*where)
    dice, differences = (
        _grouped((one.segment, one.value) for one in alike),
        _grouped((one.category, one.value) for one in apart),
    )
    return Shadow(
        since=since,
        cases=cases,
        series=series,
        refused=failures[True],
        broken=failures[False],
        dice=_medians(dice),
        least_alike=tuple(
            Farthest(case_id=one.case_id, name=one.segment, value=one.value)
            for one in alike[:LISTED]
        ),
        differences=_medians(differences),
        farthest_apart=tuple(
            Farthest(case_id=one.case_id, name=one.category, value=one.value)
            for one in apart[:LISTED]
        ),
    )


def _grouped(found: Iterable[tuple[str, float]]) -> Mapping[str, list[float]]:
    values: dict[str, list[float]] = {}
    for name, value in found:
        values.setdefault(name, []).append(value)
    return values


def _medians(values: Mapping[str, list[float]]) -> tuple[Median, ...]:
    return tuple(
        Median(name=name, value=statistics.median(values[name]), n=len(values[name]))
        for name in sorted(values)
    )
