"""Which workers there are: each beats, and whoever watches sees one fall silent."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.worker import WorkerRun, WorkerSign
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.sql import insert_or_replace
from clic_edge.ledger.worker_tables import workers

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


class WorkerStore:
    """The table of workers, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def enter(self, run: WorkerRun) -> None:
        """Keep that a worker runs; an earlier run of its name is forgotten, and can't beat again."""
        row = asdict(run) | {"beats": 1, "beat_at": run.since, "running": 0, "left_at": None}
        with self._engine.begin() as connection:
            insert_or_replace(connection, workers, row)
            note_event(connection, _event(run, "worker-started", f"on {run.host}"))

    def beat(self, run: WorkerRun, *, running: int) -> bool:
        """Keep a sign of life and return whether the name is still this run's."""
        values = {
            "beats": workers.c.beats + 1,
            "beat_at": datetime.now(UTC),
            "running": running,
        }
        with self._engine.begin() as connection:
            beaten = connection.execute(workers.update().where(_own(run)).values(values))
            return beaten.rowcount == 1

    def leave(self, run: WorkerRun) -> None:
        """Keep that a worker has ended: what it still held may be taken at once."""
        values = {"left_at": datetime.now(UTC), "running": 0}
        with self._engine.begin() as connection:
            if connection.execute(workers.update().where(_own(run)).values(values)).rowcount:
                note_event(connection, _event(run, "worker-ended", f"on {run.host}"))

    def fell_silent(self, run: WorkerRun, *, cases: int) -> None:
        """Add to the audit trail that the cases of a worker were taken over."""
        with self._engine.begin() as connection:
            detail = f"silent on {run.host}; {cases} of its cases run elsewhere"
            note_event(connection, _event(run, "worker-replaced", detail))

    def forget(self, run: WorkerRun) -> None:
        """Forget a worker that has been away for long."""
        with self._engine.begin() as connection:
            connection.execute(workers.delete().where(_own(run)))

    def all(self) -> tuple[WorkerSign, ...]:
        """Return every worker that is remembered, by name."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(workers).order_by(workers.c.name))
            return tuple(_sign(row) for row in rows)


def _own(run: WorkerRun) -> sa.ColumnElement[bool]:
    return (workers.c.name == run.name) & (workers.c.instance == run.instance)


def _event(run: WorkerRun, action: str, detail: str) -> AuditEvent:
    return AuditEvent(
        at=datetime.now(UTC), action=action, about=f"worker {run.name}", detail=detail
    )


def _sign(row: sa.Row[tuple[object, ...]]) -> WorkerSign:
    values = dict(row._mapping)
    run = WorkerRun(**{name: values.pop(name) for name in WorkerRun.__slots__})
    return WorkerSign(run=run, **values)
