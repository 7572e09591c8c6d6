"""What the first page asks of the ledger: counts, and the oldest of what waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.case import CaseState
from clic_edge.ledger.schema import cases, predictions

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.engine import Engine

_OPEN = [state for state in CaseState if not state.is_end]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """When a case came, where it is now, and since when."""

    received_at: datetime
    state: CaseState
    updated_at: datetime

    @property
    def taken(self) -> timedelta:
        """How long it took until now, or until its end."""
        return self.updated_at - self.received_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """The cases of one state that have not ended."""

    state: CaseState
    count: int
    oldest: datetime
    """When the oldest of them was received."""


class OverviewStore:
    """Reads across all cases, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def arrivals(self, since: datetime, until: datetime) -> tuple[Arrival, ...]:
        """Return what was received from `since` to before `until`, oldest first."""
        columns = [cases.c[name] for name in Arrival.__slots__]
        came = (cases.c.received_at >= since) & (cases.c.received_at < until)
        query = sa.select(*columns).where(came).order_by(cases.c.received_at)
        with self._engine.connect() as connection:
            return tuple(
                Arrival(
                    received_at=row.received_at,
                    state=CaseState(row.state),
                    updated_at=row.updated_at,
                )
                for row in connection.execute(query)
            )

    def open(self) -> tuple[Open, ...]:
        """Return what has not ended, by state."""
        return self._grouped(_OPEN)

    def quarantined(self) -> tuple[Open, ...]:
        """Return what waits for a person: one entry, or none."""
        return self._grouped([CaseState.QUARANTINED])

    def _grouped(self, states: list[CaseState]) -> tuple[Open, ...]:
        query = (
            sa.select(cases.c.state, sa.func.count(), sa.func.min(cases.c.received_at))
            .where(cases.c.state.in_(states))
            .group_by(cases.c.state)
        )
        with self._engine.connect() as connection:
            found = {
                CaseState(state): (count, at) for state, count, at in connection.execute(query)
            }
        return tuple(
            Open(state=state, count=found[state][0], oldest=found[state][1])
            for state in CaseState
            if state in found
        )

    def last_device(self) -> tuple[str, datetime] | None:
        """Return where the newest prediction was made, and when."""
        query = sa.select(predictions.c.device, predictions.c.created_at)
        with self._engine.connect() as connection:
            row = connection.execute(query.order_by(predictions.c.created_at.desc()).limit(1))
            found = row.one_or_none()
            return None if found is None else (found.device, found.created_at)
