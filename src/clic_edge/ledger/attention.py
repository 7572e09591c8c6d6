"""Cases that did not come through, by why: what a person works through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.case import CaseState
from clic_edge.domain.constancy import CONSTANCY_MARK
from clic_edge.ledger.cases import COLUMNS, case_of
from clic_edge.ledger.schema import cases

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from clic_edge.domain.case import Case

HELD: Final = (CaseState.QUARANTINED, CaseState.WAITING, CaseState.REFUSED)
"""The states in question, the most pressing first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Cases that are in one state for one reason."""

    state: CaseState
    code: str
    count: int
    oldest: datetime
    """When the first of them was received."""
    newest: datetime
    """When the last of them came to this state."""


class AttentionStore:
    """Looks for what needs a person, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def held(self, *, refused_since: datetime) -> tuple[Held, ...]:
        """Return the reasons there are, the most pressing state and the largest group first.

        What was refused earlier than a moment has been told to its reader long ago.
        """
        columns = cases.c
        query = (
            sa.select(
                columns.state,
                columns.code,
                sa.func.count(),
                sa.func.min(columns.received_at),
                sa.func.max(columns.updated_at),
            )
            .where(_held(), _recent(refused_since))
            .group_by(columns.state, columns.code)
        )
        with self._engine.connect() as connection:
            found = [
                Held(state=CaseState(state), code=code, count=count, oldest=oldest, newest=newest)
                for state, code, count, oldest, newest in connection.execute(query)
            ]
        found.sort(key=lambda one: (HELD.index(one.state), -one.count, one.code))
        return tuple(found)

    def cases(
        self, state: CaseState, code: str, *, refused_since: datetime, limit: int
    ) -> tuple[Case, ...]:
        """Return cases of one reason, those that have waited longest first."""
        query = (
            sa.select(*COLUMNS)
            .where(_held(), _recent(refused_since))
            .where(cases.c.state == state, cases.c.code == code)
            .order_by(cases.c.received_at, cases.c.case_id)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return tuple(case_of(row) for row in connection.execute(query))


def _held() -> sa.ColumnElement[bool]:
    is_a_patients = ~cases.c.pipeline.startswith(CONSTANCY_MARK, autoescape=True)
    return cases.c.state.in_(HELD) & is_a_patients


def _recent(since: datetime) -> sa.ColumnElement[bool]:
    return (cases.c.state != CaseState.REFUSED) | (cases.c.updated_at >= since)
