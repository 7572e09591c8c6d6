"""Small records: how long a stage took, how far the reconciler has read, what happened when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.ledger.schema import audit_events, cursors, stage_seconds
from clic_edge.ledger.sql import insert_or_replace

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Engine

HEARTBEAT = "worker-heartbeat"
"""Name of the cursor that holds when a worker last looked around, in seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One thing that happened: who did what to what."""

    at: datetime
    case_id: str = ""
    """Empty of what happened to something else."""
    action: str
    detail: str = ""
    person: str = ""
    """Empty of what the appliance did by itself."""
    about: str = ""
    """What it happened to, where that is no case: `account Ida`."""


def note_event(connection: sa.Connection, event: AuditEvent) -> None:
    """Add an event to the audit trail, in the transaction of what it tells of."""
    row = {name: getattr(event, name) for name in AuditEvent.__slots__}
    connection.execute(audit_events.insert().values(**row))


class RecordStore:
    """Stage times, cursors and the audit trail, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def time_stage(self, case_id: str, stage: str, seconds: float) -> None:
        """Remember how long a stage took at its last run."""
        with self._engine.begin() as connection:
            row = {"case_id": case_id, "stage": stage, "seconds": seconds}
            insert_or_replace(connection, stage_seconds, row)

    def stages(self, case_id: str) -> tuple[tuple[str, float], ...]:
        """Return stage and seconds of a case."""
        query = sa.select(stage_seconds.c.stage, stage_seconds.c.seconds).where(
            stage_seconds.c.case_id == case_id
        )
        with self._engine.connect() as connection:
            return tuple((row.stage, row.seconds) for row in connection.execute(query))

    def cursor(self, name: str) -> int:
        """Return how far `name` has read; 0 at first."""
        query = sa.select(cursors.c.value).where(cursors.c.name == name)
        with self._engine.connect() as connection:
            return connection.scalar(query) or 0

    def advance(self, name: str, value: int) -> None:
        """Remember how far `name` has read."""
        with self._engine.begin() as connection:
            insert_or_replace(connection, cursors, {"name": name, "value": value})

    def note(self, event: AuditEvent) -> None:
        """Add what somebody did to the audit trail."""
        with self._engine.begin() as connection:
            note_event(connection, event)

    def audit(self, case_id: str) -> tuple[AuditEvent, ...]:
        """Return what happened to a case, oldest first."""
        columns = [audit_events.c[name] for name in AuditEvent.__slots__]
        query = sa.select(*columns).where(audit_events.c.case_id == case_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(audit_events.c.seq))
            return tuple(AuditEvent(**row._mapping) for row in rows)
