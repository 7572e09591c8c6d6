"""What the page of alarms asks: a page of them, one of them, and what people said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from clic_edge.domain.monitoring import AlarmComment, Severity
from clic_edge.errors import ConfigError
from clic_edge.ledger.alarm_rows import alarm_of
from clic_edge.ledger.metadata import UtcDateTime, metadata
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import alarms_told, drift_acknowledgements, drift_alarms
from clic_edge.ledger.sql import insert_once

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from clic_edge.domain.monitoring import Alarm

alarm_comments = sa.Table(
    "alarm_comments",
    metadata,
    sa.Column("alarm_id", sa.ForeignKey("drift_alarms.alarm_id"), primary_key=True),
    sa.Column("at", UtcDateTime, primary_key=True),
    sa.Column("person", sa.String(64), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAlarms:
    """Which alarms somebody wants to see."""

    state: Literal["open", "closed", ""] = "open"
    model: str = ""
    severity: str = ""


class AlarmStore:
    """Alarms for people, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self, wanted: WantedAlarms, *, limit: int, after: tuple[datetime, str] | None = None
    ) -> tuple[Alarm, ...]:
        """Return alarms, the newest first, behind the moment and id of one of an earlier page."""
        columns = drift_alarms.c
        query = sa.select(drift_alarms).where(_chosen(wanted))
        if after:
            at, alarm_id = after
            same = (columns.opened_at == at) & (columns.alarm_id < alarm_id)
            query = query.where((columns.opened_at < at) | same)
        query = query.order_by(columns.opened_at.desc(), columns.alarm_id.desc()).limit(limit)
        with self._engine.connect() as connection:
            return tuple(alarm_of(row) for row in connection.execute(query))

    def models(self) -> tuple[str, ...]:
        """Return the models that have rung."""
        query = sa.select(drift_alarms.c.model_id).distinct().order_by(drift_alarms.c.model_id)
        with self._engine.connect() as connection:
            return tuple(connection.scalars(query))

    def one(self, alarm_id: str) -> Alarm:
        """Return an alarm. Raises ConfigError ``no-such-alarm``."""
        query = sa.select(drift_alarms).where(drift_alarms.c.alarm_id == alarm_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise ConfigError("no-such-alarm", "There is no alarm of that id.")
        return alarm_of(row)

    def comment(self, said: AlarmComment) -> None:
        """Keep what a person says of an alarm, for ever; the audit trail says that they did.

        The same said again, as by a button that is pressed twice, is kept once.

        Raises
        ------
        ConfigError
            ``no-such-alarm``; ``comment-empty``.

        """
        alarm = self.one(said.alarm_id)
        if not said.text.strip():
            raise ConfigError("comment-empty", "Write something.")
        row = {name: getattr(said, name) for name in AlarmComment.__slots__}
        event = AuditEvent(
            at=said.at,
            action="alarm-commented",
            person=said.person,
            about=f"alarm {alarm.alarm_id} of {alarm.model_id}",
            detail=said.text.strip(),
        )
        with self._engine.begin() as connection:
            if connection.execute(_same(said)).first():
                return
            connection.execute(alarm_comments.insert().values(**row | {"text": said.text.strip()}))
            note_event(connection, event)

    def comments(self, alarm_id: str) -> tuple[AlarmComment, ...]:
        """Return what people said of an alarm, oldest first."""
        own = sa.select(alarm_comments).where(alarm_comments.c.alarm_id == alarm_id)
        with self._engine.connect() as connection:
            rows = connection.execute(own.order_by(alarm_comments.c.at))
            return tuple(AlarmComment(**row._mapping) for row in rows)

    def told(
        self, case_id: str, *, model_digest: str, answered_at: datetime | None
    ) -> datetime | None:
        """Return since when an alarm to act on stands on a model, as the case's results tell it.

        It is looked up at the first call for a case and a model, and kept: results that are
        written again say the same. What a person has acknowledged is not told, nor what a stop
        rule acted on before `answered_at`, when a person made the model active.
        """
        key = {"case_id": case_id, "model_digest": model_digest}
        oldest = sa.select(sa.func.min(drift_alarms.c.opened_at)).where(
            _unanswered(model_digest, answered_at)
        )
        kept = sa.select(alarms_told.c.since).filter_by(**key)
        with self._engine.begin() as connection:
            since = connection.scalar(oldest)
            insert_once(connection, alarms_told, [key | {"since": since}])
            return connection.scalar(kept)


def _unanswered(model_digest: str, answered_at: datetime | None) -> sa.ColumnElement[bool]:
    columns = drift_alarms.c
    stands = (
        (columns.model_digest == model_digest)
        & (columns.severity == Severity.ACTION)
        & columns.closed_at.is_(None)
        & columns.alarm_id.not_in(sa.select(drift_acknowledgements.c.alarm_id))
    )
    if answered_at is None:
        return stands
    return stands & (columns.acted_at.is_(None) | (columns.acted_at > answered_at))


def _same(said: AlarmComment) -> sa.Select[tuple[str]]:
    """Return what finds a comment that says the same."""
    return sa.select(alarm_comments.c.alarm_id).where(
        alarm_comments.c.alarm_id == said.alarm_id,
        alarm_comments.c.person == said.person,
        alarm_comments.c.text == said.text.strip(),
    )


def _chosen(wanted: WantedAlarms) -> sa.ColumnElement[bool]:
    where: sa.ColumnElement[bool] = sa.true()
    if wanted.state:
        is_open = drift_alarms.c.closed_at.is_(None)
        where &= is_open if wanted.state == "open" else ~is_open
    if wanted.model:
        where &= drift_alarms.c.model_id == wanted.model
    if wanted.severity:
        where &= drift_alarms.c.severity == wanted.severity
    return where
