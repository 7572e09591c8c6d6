"""What weighs on the intake: written by Orthanc's plugin, told once, shown while it lasts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.case import CaseState, Priority
from clic_edge.domain.notice import Notice, NoticeKind, Urgency
from clic_edge.domain.pressure import Backlog, Pressure, Standing
from clic_edge.ledger.notices import announce
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import cases, cursors
from clic_edge.ledger.sql import begin_writing, insert_or_replace

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.engine import Engine

_OPEN: Final = [state for state in CaseState if not state.is_end]
_NAMES: Final = {one: f"intake-{one}" for one in Pressure}
"""Of the cursors that hold since when each weighs, in seconds since 1970; 0 for not."""
_LOCK: Final = 0x434C5052  # "CLPR"


class PressureStore:
    """Reads and writes what back-pressure needs, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def backlog(self) -> Backlog:
        """Return what waits."""
        urgent = cases.c.state.in_(_OPEN) & (cases.c.priority != Priority.BACKGROUND)
        first = urgent & (cases.c.state == CaseState.RECEIVED)
        with self._engine.connect() as connection:
            count = connection.scalar(sa.select(sa.func.count()).select_from(cases).where(urgent))
            # Whoever retries a case by hand lets it wait anew: it is changed then, not received.
            oldest = connection.scalar(sa.select(sa.func.min(cases.c.updated_at)).where(first))
        return Backlog(cases=count or 0, oldest=oldest)

    def see(self, weighs: Collection[Pressure], now: datetime) -> None:
        """Keep what weighs now; a beginning is noted and told once, an end is noted."""
        if {one.pressure for one in self.standing()} == set(weighs):
            return
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            before = {one.pressure for one in _standing(connection)}
            for pressure in Pressure:
                if (pressure in weighs) != (pressure in before):
                    _change(connection, pressure, now, begins=pressure in weighs)

    def standing(self) -> tuple[Standing, ...]:
        """Return what weighs, in the order of `Pressure`."""
        with self._engine.connect() as connection:
            return _standing(connection)


def _standing(connection: sa.Connection) -> tuple[Standing, ...]:
    query = sa.select(cursors.c.name, cursors.c.value).where(cursors.c.name.in_(_NAMES.values()))
    since = {row.name: row.value for row in connection.execute(query)}
    return tuple(
        Standing(pressure=one, since=datetime.fromtimestamp(since[name], UTC))
        for one, name in _NAMES.items()
        if since.get(name)
    )


def _change(connection: sa.Connection, pressure: Pressure, now: datetime, *, begins: bool) -> None:
    value = int(now.timestamp()) if begins else 0
    insert_or_replace(connection, cursors, {"name": _NAMES[pressure], "value": value})
    action = "pressure-begins" if begins else "pressure-ends"
    note_event(connection, AuditEvent(at=now, action=action, about=f"intake {pressure}"))
    if begins:
        turns_away = pressure.turns_away
        notice = Notice(
            kind=NoticeKind.IMAGES_TURNED_AWAY if turns_away else NoticeKind.QUEUE_FULL,
            key=f"{pressure} {now.isoformat()}",
            at=now,
            urgency=Urgency.ERROR if turns_away else Urgency.WARNING,
            detail=pressure,
            path="/",
        )
        announce(connection, notice)
