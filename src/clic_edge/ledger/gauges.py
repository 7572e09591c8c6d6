"""The appliance in numbers, as the ledger has them: counts and moments, no identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.case import CaseState
from clic_edge.ledger.accounting_tables import account_differences, day_accounts
from clic_edge.ledger.notice_tables import notice_sendings
from clic_edge.ledger.schema import (
    cases,
    constancy_runs,
    drift_alarms,
    model_events,
    receipts,
)

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy.engine import Engine

_OPEN = [state for state in CaseState if not state.is_end]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many there are of something, by labels in a fixed order."""

    labels: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something was, by labels in a fixed order."""

    labels: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What the ledger says of itself, in one reading."""

    cases: tuple[Count, ...]
    """By pipeline and state."""
    ends: tuple[Count, ...]
    """Of refused and quarantined cases: by pipeline, state and code."""
    oldest: tuple[Moment, ...]
    """When the oldest open case was received, by pipeline."""
    receipts: tuple[Count, ...]
    """Newest answers, by destination and whether it took the object."""
    models: tuple[tuple[str, ...], ...]
    """Pipeline, model, version and state of each."""
    alarms: tuple[Count, ...]
    """Open ones, by model and severity."""
    constancy: tuple[Moment, ...]
    """When the newest judged run ended, by protocol, pipeline and verdict."""
    notices: tuple[Count, ...]
    """By channel and state."""
    differences: tuple[Count, ...]
    """Of accounts, that nobody has acknowledged: by kind and destination."""
    accounted: date | None
    """The newest day that was compared to the end."""


class GaugeStore:
    """Reads counts, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self) -> Gauges:
        """Return how everything stands now."""
        ended = cases.c.state.in_([CaseState.REFUSED, CaseState.QUARANTINED])
        answer = sa.case((receipts.c.accepted, "accepted"), else_="rejected")
        is_open = drift_alarms.c.closed_at.is_(None)
        with self._engine.connect() as connection:
            return Gauges(
                cases=_counts(connection, [cases.c.pipeline, cases.c.state]),
                ends=_counts(connection, [cases.c.pipeline, cases.c.state, cases.c.code], ended),
                oldest=_oldest(connection),
                receipts=_counts(connection, [receipts.c.destination, answer]),
                models=_models(connection),
                alarms=_counts(
                    connection, [drift_alarms.c.model_id, drift_alarms.c.severity], is_open
                ),
                constancy=_constancy(connection),
                notices=_counts(connection, [notice_sendings.c.channel, notice_sendings.c.state]),
                differences=_differences(connection),
                accounted=connection.scalar(
                    sa.select(sa.func.max(day_accounts.c.day)).where(day_accounts.c.complete)
                ),
            )


def _counts(
    connection: sa.Connection,
    labels: list[sa.ColumnElement[str]],
    where: sa.ColumnElement[bool] | None = None,
) -> tuple[Count, ...]:
    query = sa.select(*labels, sa.func.count()).group_by(*labels)
    if where is not None:
        query = query.where(where)
    return tuple(
        Count(labels=tuple(named), count=count) for *named, count in connection.execute(query)
    )


def _differences(connection: sa.Connection) -> tuple[Count, ...]:
    rings = sa.select(drift_alarms.c.alarm_id).where(drift_alarms.c.closed_at.is_(None))
    columns = account_differences.c
    unanswered = columns.alarm_id.in_(rings)
    return _counts(connection, [columns.kind, columns.destination], unanswered)


def _oldest(connection: sa.Connection) -> tuple[Moment, ...]:
    query = (
        sa.select(cases.c.pipeline, sa.func.min(cases.c.received_at))
        .where(cases.c.state.in_(_OPEN))
        .group_by(cases.c.pipeline)
    )
    return tuple(Moment(labels=(name,), at=at) for name, at in connection.execute(query))


def _models(connection: sa.Connection) -> tuple[tuple[str, ...], ...]:
    newest = sa.select(sa.func.max(model_events.c.seq)).group_by(
        model_events.c.pipeline, model_events.c.digest
    )
    columns = [model_events.c[name] for name in ("pipeline", "model_id", "version", "now")]
    query = sa.select(*columns).where(model_events.c.seq.in_(newest)).order_by(model_events.c.seq)
    # Two packages of one version count as the one that moved last.
    found = {tuple(row[:3]): row[3] for row in connection.execute(query)}
    return tuple((*placed, state) for placed, state in found.items())


def _constancy(connection: sa.Connection) -> tuple[Moment, ...]:
    runs = constancy_runs.c
    judged = runs.record_id.is_not(None) & runs.ended_at.is_not(None)
    query = (
        sa.select(runs.protocol, runs.pipeline, runs.verdict, runs.ended_at)
        .where(judged)
        .order_by(runs.started_at)
    )
    newest = {(row[0], row[1]): row for row in connection.execute(query)}
    return tuple(Moment(labels=tuple(row[:3]), at=row[3]) for row in newest.values())
