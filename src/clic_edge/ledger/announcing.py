"""What an event is told as: written with the event, so that neither is without the other."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.constancy import Verdict
from clic_edge.domain.monitoring import Severity, Turn
from clic_edge.domain.notice import Notice, NoticeKind, Urgency
from clic_edge.domain.standing import STOP_RULE
from clic_edge.ledger.notices import announce
from clic_edge.ledger.schema import constancy_runs, drift_alarms

if TYPE_CHECKING:
    from datetime import date

    from clic_edge.domain.accounting import DifferenceCount
    from clic_edge.domain.case import Case
    from clic_edge.domain.monitoring import Alarm, AlarmTurn
    from clic_edge.domain.standing import StateEvent

_URGENCIES: Final = MappingProxyType(
    {
        Severity.ADVISORY: Urgency.INFO,
        Severity.WARNING: Urgency.WARNING,
        Severity.ACTION: Urgency.ERROR,
    }
)


def alarm_opened(connection: sa.Connection, alarm: Alarm) -> None:
    """Tell that an alarm opened."""
    _alarm(connection, NoticeKind.ALARM_OPENED, alarm, urgency=_URGENCIES[alarm.severity])


def alarm_turned(connection: sa.Connection, turn: AlarmTurn) -> None:
    """Tell that an alarm was confirmed, or closed by its chart."""
    this = drift_alarms.c.alarm_id == turn.alarm_id
    row = connection.execute(sa.select(drift_alarms).where(this)).one()
    if turn.turn is Turn.CLOSED:
        _alarm(connection, NoticeKind.ALARM_CLOSED, row, urgency=Urgency.INFO)
    else:
        urgency = _URGENCIES[turn.severity]
        _alarm(connection, NoticeKind.ALARM_CONFIRMED, row, urgency=urgency)


def _alarm(
    connection: sa.Connection,
    kind: NoticeKind,
    alarm: Alarm | sa.Row[tuple[object, ...]],
    *,
    urgency: Urgency,
) -> None:
    # The value of a word that came new was read from a file, and stays here.
    chart = alarm.chart.partition("=")[0]
    announce(
        connection,
        Notice(
            kind=kind,
            key=alarm.alarm_id,
            at=datetime.now(UTC),
            urgency=urgency,
            about=alarm.model_id,
            detail=f"{chart} {alarm.direction}",
            path=f"/alarms/{alarm.alarm_id}",
        ),
    )


def constancy_ended(
    connection: sa.Connection, run_id: str, verdict: Verdict, *, at: datetime
) -> None:
    """Tell that a constancy run failed, or did not come to its end."""
    if verdict not in {Verdict.FAILED, Verdict.INCOMPLETE}:
        return
    this = constancy_runs.c.run_id == run_id
    run = connection.execute(sa.select(constancy_runs).where(this)).one()
    failed = verdict is Verdict.FAILED
    announce(
        connection,
        Notice(
            kind=NoticeKind.CONSTANCY_FAILED if failed else NoticeKind.CONSTANCY_MISSED,
            key=run_id,
            at=at,
            urgency=Urgency.ERROR if failed else Urgency.WARNING,
            about=f"{run.model_id} {run.model_version} ({run.pipeline})",
            detail=run.protocol,
            path="/constancy",
        ),
    )


def model_moved(connection: sa.Connection, event: StateEvent) -> None:
    """Tell that a stop rule took a model off the line; what a person does is told to nobody."""
    if event.person != STOP_RULE:
        return
    placed = event.placement
    announce(
        connection,
        Notice(
            kind=NoticeKind.MODEL_STOPPED,
            key=str(event.seq),
            at=event.at,
            urgency=Urgency.ERROR,
            about=f"{placed.model_id} {placed.version} ({placed.pipeline})",
            detail=event.now,
            path="/models",
        ),
    )


def account_differs(
    connection: sa.Connection, day: date, found: DifferenceCount, *, at: datetime
) -> None:
    """Tell that the account of a day found a difference."""
    announce(
        connection,
        Notice(
            kind=NoticeKind.ACCOUNT_DIFFERS,
            key=found.alarm_id(day),
            at=at,
            urgency=Urgency.ERROR,
            about=day.isoformat(),
            detail=f"{found.count} × {found.kind} {found.destination}".strip(),
            path=f"/accounting/{day}",
        ),
    )


def case_quarantined(connection: sa.Connection, case: Case, *, code: str) -> None:
    """Tell that a case waits for a person."""
    announce(
        connection,
        Notice(
            kind=NoticeKind.CASE_QUARANTINED,
            key=f"{case.case_id} {case.attempt}",
            at=datetime.now(UTC),
            urgency=Urgency.ERROR,
            about=case.pipeline,
            detail=code,
            path=f"/cases/{case.case_id}",
        ),
    )
