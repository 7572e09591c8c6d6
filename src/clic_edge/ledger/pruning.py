"""What is old enough goes, by the site's policy; what something open still needs stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.case import CaseState
from clic_edge.ledger.days import FeatureDayStore
from clic_edge.ledger.feature_tables import feature_values
from clic_edge.ledger.observations import ObservationStore
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import (
    audit_events,
    cases,
    drift_alarms,
    drift_progress,
    drift_references,
    predictions,
    segmentations,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

BEFORE_ALARM: Final = timedelta(days=90)
"""So much of a model's features before an open alarm stays: the change began in it."""
_AT_A_TIME: Final = 500
"""Rows of one transaction: a case that is logged meanwhile waits for no longer."""
_UNFINISHED: Final = [state for state in CaseState if not state.is_end]
_STAYS: Final = [
    *("reference-frozen", "constancy-commissioned", "charts-turned-back", "pruned"),
    *("alarm-opened", "alarm-closed", "alarm-acknowledged", "alarm-commented"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is kept; None for ever."""

    features: timedelta | None = None
    masks: timedelta | None = None
    """Of cases that ended without delivery; a delivered case has none."""
    audit: timedelta | None = None


KEEP_ALL: Final = Retention()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows went, or would go."""

    features: int
    masks: int
    audit: int
    is_rolled: bool
    """Whether all days that have ended are rolled up; features of others stay until they are."""

    def __str__(self) -> str:
        """For people, and for the audit trail."""
        return (
            f"features of {self.features} predictions, {self.masks} masks, "
            f"{self.audit} events of the audit trail"
        )


class PruneStore:
    """Prunes, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prune(
        self, retention: Retention, *, now: datetime, dry: bool = False, most_days: int = 0
    ) -> Pruned:
        """Roll the days up that have ended, delete what is old enough, and say so in the audit.

        Stays, however old: what an unfinished case needs; features after the moment up to which
        their model is charted, and from 90 days before its oldest open alarm; sealed references,
        charts, alarms and rollups always. Stopped in the middle, it has done a part of it whole.
        With `most_days`, that many days of a model are rolled up at most, and features wait.
        """
        is_rolled = dry or self._roll(now, most_days)
        counts = {
            "features": self._features(retention.features, now=now, dry=dry) if is_rolled else 0,
            "masks": self._delete(
                segmentations.c.prediction_id,
                self._of_ended(segmentations.c.prediction_id, retention.masks, now=now),
                dry=dry,
            ),
            "audit": self._delete(
                audit_events.c.seq, self._of_audit(retention.audit, now=now), dry=dry
            ),
        }
        pruned = Pruned(**counts, is_rolled=is_rolled)
        if not dry and any(counts.values()):
            with self._engine.begin() as connection:
                note_event(connection, AuditEvent(at=now, action="pruned", detail=str(pruned)))
        return pruned

    def shrink(self) -> None:
        """Give what pruning freed back to the disk; writers wait meanwhile (SQLite)."""
        with self._engine.connect() as connection:
            own = connection.execution_options(isolation_level="AUTOCOMMIT")
            own.exec_driver_sql("VACUUM")
            if own.dialect.name == "sqlite":
                own.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def _roll(self, now: datetime, most: int) -> bool:
        store = FeatureDayStore(self._engine)
        today = now.astimezone(UTC).date()
        models = ObservationStore(self._engine).models()
        rolled = [store.roll(digest, until=today, most=most) for _, _, digest in models]
        return all(rolled)

    def _features(self, age: timedelta | None, *, now: datetime, dry: bool) -> int:
        if age is None:
            return 0
        gone = 0
        for _, _, digest in ObservationStore(self._engine).models():
            before = min([now - age, *self._needed(digest)])
            old = (predictions.c.model_digest == digest) & (predictions.c.created_at < before)
            ids = sa.select(predictions.c.prediction_id).where(old, ~_OPEN)
            key = feature_values.c.prediction_id
            gone += self._delete(key, key.in_(ids), dry=dry)
        return gone

    def _needed(self, digest: str) -> list[datetime]:
        """Return since when the open alarms and the charts of a model need its features."""
        alarms = sa.select(sa.func.min(drift_alarms.c.opened_at)).where(
            drift_alarms.c.model_digest == digest, drift_alarms.c.closed_at.is_(None)
        )
        charts = (
            # The newest: all references go on together, but for those that are charted no more.
            sa.select(sa.func.max(drift_progress.c.charted_until))
            .join(drift_references)
            .where(drift_references.c.model_digest == digest)
        )
        with self._engine.connect() as connection:
            opened, charted = connection.scalar(alarms), connection.scalar(charts)
        found = [opened - BEFORE_ALARM] if opened else []
        return [*found, charted] if charted else found

    def _of_ended(
        self, key: sa.Column[str], age: timedelta | None, *, now: datetime
    ) -> sa.ColumnElement[bool]:
        if age is None:
            return sa.false()
        ended = (cases.c.updated_at < now - age) & cases.c.state.not_in(_UNFINISHED)
        own = sa.select(predictions.c.prediction_id).join(cases).where(ended)
        return key.in_(own)

    def _of_audit(self, age: timedelta | None, *, now: datetime) -> sa.ColumnElement[bool]:
        if age is None:
            return sa.false()
        unfinished = sa.select(cases.c.case_id).where(cases.c.state.in_(_UNFINISHED))
        return (
            (audit_events.c.at < now - age)
            & audit_events.c.action.not_in(_STAYS)
            & audit_events.c.case_id.not_in(unfinished)
        )

    def _delete(
        self, key: sa.Column[str] | sa.Column[int], where: sa.ColumnElement[bool], *, dry: bool
    ) -> int:
        table = key.table
        if dry:
            with self._engine.connect() as connection:
                count = sa.select(sa.func.count()).select_from(table).where(where)
                return connection.scalar(count) or 0
        gone = 0
        while True:
            with self._engine.begin() as connection:
                some = list(connection.scalars(sa.select(key).where(where).limit(_AT_A_TIME)))
                # Another box may have deleted some of them meanwhile, and counts those.
                gone += connection.execute(sa.delete(table).where(key.in_(some))).rowcount
            if len(some) < _AT_A_TIME:
                return gone


_OPEN = predictions.c.case_id.in_(
    sa.select(cases.c.case_id).where(cases.c.state.in_([*_UNFINISHED, CaseState.QUARANTINED]))
)
