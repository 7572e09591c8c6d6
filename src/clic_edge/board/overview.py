"""Is everything well? One light for each thing that could be wrong, and today in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from clic_edge.board.workers import Presence, WorkerRow, workers
from clic_edge.domain.case import CaseState
from clic_edge.domain.constancy import Verdict
from clic_edge.domain.deadline import LateCause
from clic_edge.domain.monitoring import Severity
from clic_edge.domain.pressure import Pressure
from clic_edge.domain.standing import ModelState
from clic_edge.ledger.records import HEARTBEAT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.ledger import Ledger
    from clic_edge.ledger.overview import Arrival

SILENT: Final = timedelta(minutes=5)
"""A worker of which the ledger holds no beat, and that was not heard of for longer, is not there."""
LATE: Final = timedelta(hours=1)
"""A case that has been open for longer wants a look; what waits for its study does so by rule."""
FULL: Final = (0.20, 0.05)
"""Shares of the disk that should be free: below the first look, below the second act."""
REMEMBERED: Final = timedelta(days=30)
"""Constancy runs that are older say nothing of today."""
MISSED: Final = timedelta(hours=36)
"""After a run longer ago, a night has been missed."""
EXPIRES: Final = (30, 7)
"""Days that a certificate should last: below the first look, below the second act."""
HOURS: Final = 24
_CAUSES: Final = MappingProxyType(
    {
        LateCause.NO_WORKER: "no_worker",
        LateCause.WAITING: "waiting",
        LateCause.QUEUE: "queue",
        LateCause.SLOW: "slow",
    }
)
_PRESSURES: Final = MappingProxyType(
    {
        Pressure.DISK: "disk",
        Pressure.QUEUE: "queue",
        Pressure.QUEUE_TAKEN: "queue_taken",
    }
)
_HOUR: Final = timedelta(hours=1)


class Level(StrEnum):
    """How a light shines."""

    GOOD = "good"
    IDLE = "idle"
    """Nothing to say yet."""
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """One thing that is well or is not, and why."""

    name: str
    level: Level
    why: str
    """A word that pages have a sentence for, with `count`, `since` and `detail` in it."""
    count: int = 0
    since: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the ledger can't know."""

    archive_answers: bool
    free_bytes: int
    total_bytes: int
    certificate_ends: datetime | None = None
    """Of the pages' TLS; None where there is none, or a proxy has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCount:
    """How many cases came to a state."""

    state: CaseState
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HourCount:
    """How many cases were received in an hour, and became what."""

    begins_at: datetime
    states: tuple[StateCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The first page."""

    at: datetime
    level: Level
    """The worst of the lights."""
    lights: tuple[Light, ...]
    workers: tuple[WorkerRow, ...]
    """Those of the last day."""
    today: tuple[StateCount, ...]
    """Cases received in the last 24 hours, by the state they are in."""
    hours: tuple[HourCount, ...]
    """The same by hour, oldest first."""
    median_seconds: float | None
    """From arrival to delivery, of what was delivered of these."""
    p95_seconds: float | None


def overview(ledger: Ledger, surroundings: Surroundings, now: datetime) -> Overview:
    """Return how the appliance is at a moment."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    begin = hour - timedelta(hours=HOURS - 1)
    arrivals = ledger.overview.arrivals(begin, now + timedelta(seconds=1))
    taken = [one.taken.total_seconds() for one in arrivals if one.state is CaseState.DELIVERED]
    present = workers(ledger, now)
    lights = (
        _worker(ledger, present, now),
        _archive(surroundings),
        _queue(ledger, now),
        _intake(ledger),
        _deadline(ledger, now),
        _quarantine(ledger),
        _models(ledger),
        _alarms(ledger),
        _constancy(ledger, now),
        _disk(surroundings),
        _device(ledger),
        *_certificate(surroundings, now),
    )
    order = list(Level)
    return Overview(
        at=now,
        level=max((one.level for one in lights), key=order.index),
        lights=lights,
        workers=present,
        today=_counted(arrivals),
        hours=tuple(
            HourCount(
                begins_at=one,
                states=_counted([a for a in arrivals if one <= a.received_at < one + _HOUR]),
            )
            for one in (begin + _HOUR * index for index in range(HOURS))
        ),
        median_seconds=float(np.median(taken)) if taken else None,
        p95_seconds=float(np.percentile(taken, 95)) if taken else None,
    )


def _counted(arrivals: Sequence[Arrival]) -> tuple[StateCount, ...]:
    counts = Counter(one.state for one in arrivals)
    return tuple(StateCount(state=one, count=counts[one]) for one in CaseState if counts[one])


def _worker(ledger: Ledger, rows: Sequence[WorkerRow], now: datetime) -> Light:
    beat = ledger.records.cursor(HEARTBEAT)
    if not beat:
        return Light(name="worker", level=Level.BAD, why="never")
    since = datetime.fromtimestamp(beat, now.tzinfo)
    if not rows:
        silent = now - since > SILENT
        level, why = (Level.BAD, "silent") if silent else (Level.GOOD, "works")
        return Light(name="worker", level=level, why=why, since=since)
    running = [one for one in rows if one.presence is Presence.RUNS]
    gone = [one for one in rows if one.presence is Presence.SILENT]
    last = max(one.beat_at for one in running or rows)
    if not running:
        return Light(name="worker", level=Level.BAD, why="silent", since=last)
    if gone:
        names = ", ".join(one.name for one in gone)
        since = max(one.beat_at for one in gone)
        return Light(name="worker", level=Level.WARN, why="partly", detail=names, since=since)
    return Light(name="worker", level=Level.GOOD, why="works", count=len(running), since=last)


def _archive(surroundings: Surroundings) -> Light:
    if surroundings.archive_answers:
        return Light(name="archive", level=Level.GOOD, why="answers")
    return Light(name="archive", level=Level.BAD, why="away")


def _queue(ledger: Ledger, now: datetime) -> Light:
    groups = ledger.overview.open()
    if not groups:
        return Light(name="queue", level=Level.GOOD, why="empty")
    oldest, count = min(one.oldest for one in groups), sum(one.count for one in groups)
    late = now - oldest > LATE
    level, why = (Level.WARN, "late") if late else (Level.GOOD, "moves")
    return Light(name="queue", level=level, why=why, count=count, since=oldest)


def _intake(ledger: Ledger) -> Light:
    """Return whether images are turned away, and for want of what."""
    for one in ledger.pressure.standing():
        level = Level.BAD if one.pressure.turns_away else Level.WARN
        return Light(name="intake", level=level, why=_PRESSURES[one.pressure], since=one.since)
    return Light(name="intake", level=Level.GOOD, why="open")


def _deadline(ledger: Ledger, now: datetime) -> Light:
    """Return whether results come in time, the alarm of what is late already first."""
    alarms = sorted(ledger.deadlines.alarms(), key=lambda one: not one.risk.is_missed)
    for alarm in alarms:
        why = "missed" if alarm.risk.is_missed else _CAUSES[alarm.risk.cause]
        return Light(
            name="deadline",
            level=Level.BAD,
            why=why,
            count=alarm.risk.ahead if why == "queue" else alarm.risk.cases,
            since=alarm.opened_at,
            detail=alarm.risk.pipeline,
        )
    counts = ledger.deadlines.kept(now - REMEMBERED, now)
    kept, missed = (sum(getattr(one, name) for one in counts) for name in ("kept", "missed"))
    if not kept + missed:
        return Light(name="deadline", level=Level.IDLE, why="none")
    return Light(name="deadline", level=Level.GOOD, why="kept", count=kept, detail=str(missed))


def _quarantine(ledger: Ledger) -> Light:
    for group in ledger.overview.quarantined():
        return Light(
            name="quarantine", level=Level.BAD, why="held", count=group.count, since=group.oldest
        )
    return Light(name="quarantine", level=Level.GOOD, why="empty")


def _models(ledger: Ledger) -> Light:
    pipelines = {one.placement.pipeline for one in ledger.standing.history()}
    standing = [one for name in pipelines for one in ledger.standing.standing(name).values()]
    active = sum(one.now is ModelState.ACTIVE for one in standing)
    stopped = [one for one in standing if one.now is ModelState.SUSPENDED]
    if stopped:
        names = ", ".join(sorted({one.placement.model_id for one in stopped}))
        since = min(one.at for one in stopped)
        return Light(name="models", level=Level.BAD, why="suspended", detail=names, since=since)
    if not active:
        return Light(name="models", level=Level.IDLE, why="none")
    return Light(name="models", level=Level.GOOD, why="active", count=active)


def _alarms(ledger: Ledger) -> Light:
    alarms = ledger.monitoring.alarms(is_open=True)
    if not alarms:
        return Light(name="alarms", level=Level.GOOD, why="none")
    act = [one for one in alarms if one.severity is Severity.ACTION]
    since = min(one.opened_at for one in act or alarms)
    if act:
        return Light(name="alarms", level=Level.BAD, why="act", count=len(act), since=since)
    return Light(name="alarms", level=Level.WARN, why="open", count=len(alarms), since=since)


def _constancy(ledger: Ledger, now: datetime) -> Light:
    """Return what the newest run of each pipeline said, the worst first."""
    runs = [one for one in ledger.constancy.runs(since=now - REMEMBERED) if one.record_id]
    newest = {one.pipeline: one for one in runs if one.verdict is not Verdict.RUNNING}.values()
    if not newest:
        return Light(name="constancy", level=Level.IDLE, why="never")
    wrong = [one for one in newest if one.verdict is not Verdict.PASSED]
    failed = [one for one in wrong if one.verdict is Verdict.FAILED]
    oldest = min((failed or wrong or [*newest]), key=lambda one: one.started_at)
    if failed:
        level, why = Level.BAD, "failed"
    elif wrong:
        level, why = Level.WARN, "incomplete"
    elif now - oldest.started_at > MISSED:
        level, why = Level.WARN, "missed"
    else:
        level, why = Level.GOOD, "passed"
    return Light(
        name="constancy", level=level, why=why, detail=oldest.pipeline, since=oldest.started_at
    )


def _certificate(surroundings: Surroundings, now: datetime) -> tuple[Light, ...]:
    """Return a light only where these pages have a certificate of their own."""
    ends = surroundings.certificate_ends
    if ends is None:
        return ()
    days = (ends - now).days
    level = Level.BAD if days < EXPIRES[1] else Level.WARN if days < EXPIRES[0] else Level.GOOD
    why = "lasts" if level is Level.GOOD else "ends"
    return (Light(name="certificate", level=level, why=why, count=max(days, 0)),)


def _disk(surroundings: Surroundings) -> Light:
    share = surroundings.free_bytes / max(surroundings.total_bytes, 1)
    look, act = FULL
    level = Level.BAD if share < act else Level.WARN if share < look else Level.GOOD
    why = "room" if level is Level.GOOD else "full"
    return Light(name="disk", level=level, why=why, count=round(100 * share))


def _device(ledger: Ledger) -> Light:
    last = ledger.overview.last_device()
    if last is None:
        return Light(name="device", level=Level.IDLE, why="none")
    device, at = last
    return Light(name="device", level=Level.GOOD, why="ran", detail=device, since=at)
