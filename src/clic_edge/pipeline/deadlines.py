"""Time to result: when a result is due, and which will be late, told before they are.

What is foretold: each open case goes to the worker that is free first, the more urgent before the
less, and its model runs there alone; what a case takes is the 80th percentile of what the newest
cases of its pipeline took, stage by stage.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import quantiles
from typing import TYPE_CHECKING, Final

from clic_edge.domain.case import CaseState
from clic_edge.domain.deadline import LateCause, Risk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from clic_edge.config import Pipeline
    from clic_edge.config.pipeline import Deadline
    from clic_edge.domain.case import Case
    from clic_edge.domain.study import StudySummary
    from clic_edge.domain.worker import WorkerSign
    from clic_edge.ledger import Ledger

OLD: Final = timedelta(days=1)
"""A study that lay in the archive for so long before it was taken in is waited for by nobody."""
SILENT: Final = timedelta(minutes=2)
"""A worker without a beat for so long does no work; hosts' clocks differ by less."""
_BY_AT_LEAST: Final = timedelta(hours=1)
_FEW: Final = 5
"""Cases without which nothing is known of how long a pipeline takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a case of a pipeline takes."""

    model: timedelta
    """In which its worker runs no other case's model."""
    rest: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """When the result of an open case is expected."""

    case: Case
    done_at: datetime | None
    """None where no worker lives."""
    begins_at: datetime | None
    ahead: int
    """Cases that run or wait before it."""

    @property
    def is_late(self) -> bool:
        """Whether it is expected after it is due."""
        due = self.case.due_at
        return due is not None and (self.done_at is None or self.done_at > due)


def due_at(deadline: Deadline | None, study: StudySummary, now: datetime) -> datetime | None:
    """Return when a study's result is due, counted from the arrival of its last image."""
    if deadline is None or study.seconds_since_last_instance > OLD.total_seconds():
        return None
    arrived = now - timedelta(seconds=study.seconds_since_last_instance)
    if deadline.minutes is not None:
        return arrived + timedelta(minutes=deadline.minutes)
    earliest = (arrived + _BY_AT_LEAST).astimezone()  # `by` is the site's own time of day
    due = datetime.combine(earliest.date(), deadline.by or datetime.min.time()).astimezone()
    if due < earliest:
        following = earliest.date() + timedelta(days=1)
        due = datetime.combine(following, deadline.by or datetime.min.time()).astimezone()
    return due.astimezone(now.tzinfo)


def effort_of(stages: Iterable[tuple[str, str, float]], deadline: timedelta) -> Effort:
    """Return what a case takes, of what the newest took: case, stage and seconds.

    Of a pipeline that has delivered too few, half of the time that there is.
    """
    model, rest = dict[str, float](), dict[str, float]()
    for case_id, stage, seconds in stages:
        own = model if stage == "predict" else rest
        own[case_id] = own.get(case_id, 0.0) + seconds
    if len(model) < _FEW:
        return Effort(model=deadline / 2, rest=timedelta())
    return Effort(
        model=timedelta(seconds=quantiles(model.values(), n=5)[-1]),
        rest=timedelta(seconds=quantiles(rest.values(), n=5)[-1]) if len(rest) > 1 else timedelta(),
    )


def outlook(
    cases: Sequence[Case], efforts: Mapping[str, Effort], *, workers: int, now: datetime
) -> tuple[Outlook, ...]:
    """Return when each open case is expected to be done, in the order in which they come."""
    nothing = Effort(model=timedelta(), rest=timedelta())
    free = [now] * workers
    found = []
    for ahead, case in enumerate(sorted(cases, key=_turn)):
        effort = efforts.get(case.pipeline, nothing)
        if not free:
            found.append(Outlook(case=case, done_at=None, begins_at=None, ahead=ahead))
            continue
        ready = max(now, case.next_attempt_at or now)
        begins = max(ready, heapq.heappop(free))
        left = _left(case, effort, now)
        heapq.heappush(free, begins + left.model)
        done = begins + left.model + left.rest
        found.append(Outlook(case=case, done_at=done, begins_at=begins, ahead=ahead))
    return tuple(found)


def _turn(case: Case) -> tuple[bool, int, datetime, datetime]:
    waits = case.next_attempt_at or case.received_at
    return (case.state is not CaseState.RUNNING, case.priority.rank, waits, case.received_at)


def _left(case: Case, effort: Effort, now: datetime) -> Effort:
    """Return what is left of a case: one that runs for longer than it should runs on for a while."""
    if case.state is not CaseState.RUNNING:
        return effort
    run = max(now - case.updated_at, timedelta())
    return Effort(model=max(effort.model - run, run / 4), rest=effort.rest)


def risks(seen: Iterable[Outlook], now: datetime) -> Iterator[Risk]:
    """Yield each pipeline whose results will be late, and why."""
    late = dict[str, list[Outlook]]()
    for one in seen:
        if one.is_late:
            late.setdefault(one.case.pipeline, []).append(one)
    for pipeline, ones in late.items():
        first = ones[0]
        yield Risk(
            pipeline=pipeline,
            cause=_cause(first, now),
            cases=len(ones),
            ahead=first.ahead,
            is_missed=any(one.case.due_at and one.case.due_at < now for one in ones),
        )


def _cause(one: Outlook, now: datetime) -> LateCause:
    if one.done_at is None or one.begins_at is None:
        return LateCause.NO_WORKER
    if one.case.next_attempt_at and one.case.next_attempt_at > now:
        return LateCause.WAITING
    return LateCause.QUEUE if one.begins_at > now else LateCause.SLOW


def watch_deadlines(ledger: Ledger, pipelines: Sequence[Pipeline], now: datetime) -> None:
    """Foretell which results will be late, and open, renew or close the alarms on that."""
    promised = {one.name: one.deadline for one in pipelines if one.deadline}
    if not promised:
        return
    cases = ledger.cases.under_way()
    efforts = {
        name: effort_of(
            ledger.deadlines.stage_seconds(name),
            timedelta(minutes=promised[name].minutes or 0.0) if name in promised else timedelta(),
        )
        for name in {case.pipeline for case in cases}
    }
    alive = sum(is_alive(one, now) for one in ledger.workers.all())
    seen = outlook(cases, efforts, workers=alive, now=now)
    ledger.deadlines.see(tuple(risks(seen, now)), now)


def is_alive(sign: WorkerSign, now: datetime) -> bool:
    """Whether a worker was heard of lately."""
    return sign.left_at is None and now - sign.beat_at < SILENT
