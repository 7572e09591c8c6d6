"""Batches and their studies: what is to be run, what runs, and what became of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.batch import Batch, BatchState, Progress, StudyState
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError
from clic_edge.ledger.batch_tables import batch_studies, batches
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import cases
from clic_edge.ledger.sql import insert_once

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Engine

_ENDS: Final = [state for state in CaseState if state.is_end]
_OVER: Final = [state for state in StudyState if state.is_over]
_HOUR: Final = timedelta(hours=1)
_FETCHED_WITHIN: Final = timedelta(hours=1)
"""No study takes longer: of one that does, its batch was killed."""


class BatchStore:
    """The tables of batches, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, batch: Batch, *, person: str = "") -> None:
        """Keep a batch."""
        with self._engine.begin() as connection:
            connection.execute(batches.insert().values(**asdict(batch)))
            note_event(
                connection, _event(batch.batch_id, "batch-begun", detail=batch.query, person=person)
            )

    def enlist(self, batch_id: str, digests: Iterable[str]) -> int:
        """Add studies to a batch; return how many are new in it."""
        now = datetime.now(UTC)
        rows = [
            {
                "batch_id": batch_id,
                "study_digest": digest,
                "state": StudyState.PENDING,
                "code": "",
                "updated_at": now,
            }
            for digest in digests
        ]
        with self._engine.begin() as connection:
            return insert_once(connection, batch_studies, rows)

    def batch(self, batch_id: str) -> Batch:
        """Return a batch; the beginning of its id is enough. Raises ConfigError ``no-such-batch``."""
        named = batches.c.batch_id.startswith(batch_id, autoescape=True)
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(batches).where(named)).all()
        if len(rows) != 1:
            raise ConfigError(
                "no-such-batch",
                f"{len(rows)} batches begin with that id; `clic-edge batch list` lists them.",
            )
        return _batch(rows[0])

    def all(self) -> tuple[Batch, ...]:
        """Return every batch, the newest last."""
        query = sa.select(batches).order_by(batches.c.created_at, batches.c.batch_id)
        with self._engine.connect() as connection:
            return tuple(_batch(row) for row in connection.execute(query))

    def move(self, batch_id: str, state: BatchState, *, person: str = "") -> None:
        """Keep that a batch is paused, goes on, is cancelled or is done."""
        this = (batches.c.batch_id == batch_id) & (batches.c.state != state)
        with self._engine.begin() as connection:
            if connection.execute(batches.update().where(this).values(state=state)).rowcount:
                note_event(connection, _event(batch_id, f"batch-{state}", person=person))

    def again(self, batch_id: str) -> int:
        """Let what was being fetched when its process died, or failed, be tried again."""
        stuck = batch_studies.c.state.in_([StudyState.FETCHING, StudyState.FAILED])
        this = (batch_studies.c.batch_id == batch_id) & stuck
        values = {"state": StudyState.PENDING, "code": ""}
        with self._engine.begin() as connection:
            return connection.execute(batch_studies.update().where(this).values(values)).rowcount

    def pending(self, batch_id: str, most: int) -> tuple[str, ...]:
        """Return the digests of some studies that have not begun."""
        with self._engine.connect() as connection:
            return tuple(connection.scalars(_in(batch_id, StudyState.PENDING).limit(most)))

    def fetching(self, batch_id: str) -> tuple[str, ...]:
        """Return the digests of the studies that are being fetched, or were when a process died."""
        with self._engine.connect() as connection:
            return tuple(connection.scalars(_in(batch_id, StudyState.FETCHING)))

    def put(
        self,
        batch_id: str,
        digest: str,
        state: StudyState,
        *,
        code: str = "",
        instances: int | None = None,
        case_id: str | None = None,
    ) -> None:
        """Keep where a study of a batch is."""
        values: dict[str, object] = {"state": state, "code": code, "updated_at": datetime.now(UTC)}
        values |= {"instances": instances, "case_id": case_id}
        this = (batch_studies.c.batch_id == batch_id) & (batch_studies.c.study_digest == digest)
        with self._engine.begin() as connection:
            connection.execute(batch_studies.update().where(this).values(values))

    def settle(self, batch_id: str) -> int:
        """Keep which cases have ended; return how many are open."""
        own = (batch_studies.c.batch_id == batch_id) & (batch_studies.c.state == StudyState.RUNNING)
        ended = sa.select(cases.c.case_id).where(cases.c.state.in_(_ENDS))
        values = {"state": StudyState.ENDED, "updated_at": datetime.now(UTC)}
        over = batch_studies.update().where(own, batch_studies.c.case_id.in_(ended)).values(values)
        with self._engine.begin() as connection:
            connection.execute(over)
            count = sa.select(sa.func.count()).select_from(batch_studies).where(own)
            return connection.scalar(count) or 0

    def progress(self, batch_id: str, now: datetime) -> Progress:
        """Return how far a batch is."""
        columns = batch_studies.c
        own = columns.batch_id == batch_id
        states = sa.select(columns.state, sa.func.count()).where(own).group_by(columns.state)
        lately = (
            sa.select(sa.func.count())
            .select_from(batch_studies)
            .where(own, columns.state.in_(_OVER), columns.updated_at > now - _HOUR)
        )
        ends = (
            sa.select(cases.c.state, sa.func.count())
            .join(batch_studies, columns.case_id == cases.c.case_id)
            .where(own, columns.state == StudyState.ENDED)
            .group_by(cases.c.state)
        )
        with self._engine.connect() as connection:
            return Progress(
                batch=self.batch(batch_id),
                counts=tuple((StudyState(state), n) for state, n in connection.execute(states)),
                ends=tuple((state, n) for state, n in connection.execute(ends)),
                lately=connection.scalar(lately) or 0,
            )

    def has(self, study_digest: str, instances: int) -> bool:
        """Whether a batch brings this study, or brought it and it has no more images than then.

        What a batch was fetching when it was killed is its own for an hour: if nobody lets the
        batch go on, the study is taken in like any other when something of it comes.
        """
        columns = batch_studies.c
        lately = columns.updated_at > datetime.now(UTC) - _FETCHED_WITHIN
        brings = (columns.state == StudyState.FETCHING) & lately
        brought = brings | (columns.instances >= instances)
        query = sa.select(sa.literal(1)).where(columns.study_digest == study_digest, brought)
        with self._engine.connect() as connection:
            return connection.scalar(query.limit(1)) is not None


def _in(batch_id: str, state: StudyState) -> sa.Select[tuple[str]]:
    """Return the query for the digests of a batch's studies in a state, in order."""
    columns = batch_studies.c
    return (
        sa.select(columns.study_digest)
        .where(columns.batch_id == batch_id, columns.state == state)
        .order_by(columns.study_digest)
    )


def _event(batch_id: str, action: str, *, detail: str = "", person: str = "") -> AuditEvent:
    now = datetime.now(UTC)
    about = f"batch {batch_id}"
    return AuditEvent(at=now, action=action, detail=detail, person=person, about=about)


def _batch(row: sa.Row[tuple[object, ...]]) -> Batch:
    values = dict(row._mapping)
    values["state"] = BatchState(values["state"])
    return Batch(**values)
