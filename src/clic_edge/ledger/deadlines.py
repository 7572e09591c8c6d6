"""Deadlines: how long stages take, which were kept, and the alarms that they will not be."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.case import CaseState
from clic_edge.domain.deadline import DeadlineAlarm, Kept, LateCause, Risk
from clic_edge.domain.notice import Notice, NoticeKind, Urgency
from clic_edge.ledger.notices import announce
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import cases, stage_seconds
from clic_edge.ledger.sql import begin_writing, utc_month
from clic_edge.ledger.worker_tables import deadline_alarms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Engine

QUIET: Final = timedelta(minutes=5)
"""An alarm is over when nothing was late for so long: it does not come and go with each case."""
_RECENT: Final = 100
_LOCK: Final = 0x434C4454  # "CLDT"


class DeadlineStore:
    """Reads and writes what deadlines need, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def stage_seconds(self, pipeline: str) -> tuple[tuple[str, str, float], ...]:
        """Return case, stage and seconds of the newest cases that a pipeline delivered."""
        delivered = (cases.c.pipeline == pipeline) & (cases.c.state == CaseState.DELIVERED)
        newest = (
            sa.select(cases.c.case_id)
            .where(delivered)
            .order_by(cases.c.received_at.desc())
            .limit(_RECENT)
            .subquery()
        )
        query = sa.select(stage_seconds).join(newest, stage_seconds.c.case_id == newest.c.case_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query)
            return tuple((row.case_id, row.stage, row.seconds) for row in rows)

    def see(self, risks: Iterable[Risk], now: datetime) -> None:
        """Open an alarm where a pipeline has none, renew those that stand, close what is over.

        An alarm is told once, when it opens; whichever worker sees it first.
        """
        found = {one.pipeline: one for one in risks}
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            stand = {one.risk.pipeline: one for one in _open(connection)}
            for pipeline, risk in found.items():
                if pipeline in stand:
                    values = _values(risk) | {"seen_at": now}
                    connection.execute(_this(stand[pipeline]).values(values))
                else:
                    _begin(connection, risk, now)
            for pipeline, alarm in stand.items():
                if pipeline not in found and abs(now - alarm.seen_at) > QUIET:
                    connection.execute(_this(alarm).values(closed_at=now))
                    note_event(connection, _event(alarm.risk, "deadline-safe", now))

    def alarms(self) -> tuple[DeadlineAlarm, ...]:
        """Return the alarms that stand, by pipeline."""
        with self._engine.connect() as connection:
            return _open(connection)

    def kept(self, since: datetime, now: datetime) -> tuple[Kept, ...]:
        """Return what was due from a moment on, by pipeline and month, the newest month first.

        A case without a result counts as missed when it is due; one that a later case replaced
        before it had a result counts as neither.
        """
        month = utc_month(self._engine.dialect, cases.c.due_at).label("month")
        in_time = sa.case((cases.c.result_at <= cases.c.due_at, 1), else_=0)
        never = (cases.c.state != CaseState.SUPERSEDED) & (cases.c.due_at < now)
        query = (
            sa.select(month, cases.c.pipeline, sa.func.sum(in_time), sa.func.count())
            .where(cases.c.due_at >= since, cases.c.result_at.is_not(None) | never)
            .group_by(month, cases.c.pipeline)
        )
        with self._engine.connect() as connection:
            counts = sorted(connection.execute(query), reverse=True)
        return tuple(
            Kept(pipeline=pipeline, month=month, kept=kept, missed=both - kept)
            for month, pipeline, kept, both in counts
        )


def _open(connection: sa.Connection) -> tuple[DeadlineAlarm, ...]:
    query = sa.select(deadline_alarms).where(deadline_alarms.c.closed_at.is_(None))
    rows: Sequence[sa.Row[tuple[object, ...]]] = connection.execute(
        query.order_by(deadline_alarms.c.pipeline)
    ).all()
    return tuple(_alarm(row) for row in rows)


def _alarm(row: sa.Row[tuple[object, ...]]) -> DeadlineAlarm:
    values = dict(row._mapping)
    told = {name: values.pop(name) for name in Risk.__slots__}
    risk = Risk(**told | {"cause": LateCause(told["cause"])})
    return DeadlineAlarm(risk=risk, **values)


def _values(risk: Risk) -> dict[str, object]:
    return {name: getattr(risk, name) for name in Risk.__slots__}


def _this(alarm: DeadlineAlarm) -> sa.Update:
    columns = deadline_alarms.c
    same = (columns.pipeline == alarm.risk.pipeline) & (columns.opened_at == alarm.opened_at)
    return deadline_alarms.update().where(same)


def _begin(connection: sa.Connection, risk: Risk, now: datetime) -> None:
    row = _values(risk) | {"opened_at": now, "seen_at": now}
    connection.execute(deadline_alarms.insert().values(row))
    note_event(connection, _event(risk, "deadline-at-risk", now))
    notice = Notice(
        kind=NoticeKind.DEADLINE_AT_RISK,
        key=f"{risk.pipeline} {now.isoformat()}",
        at=now,
        urgency=Urgency.ERROR,
        about=risk.pipeline,
        detail=risk.cause,
        path="/",
    )
    announce(connection, notice)


def _event(risk: Risk, action: str, now: datetime) -> AuditEvent:
    detail = f"{risk.cause}; {risk.cases} cases, {risk.ahead} ahead"
    return AuditEvent(at=now, action=action, about=f"pipeline {risk.pipeline}", detail=detail)
