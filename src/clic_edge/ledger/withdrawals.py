"""Cases whose results a person took back, and whether every destination knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.case import CaseState
from clic_edge.domain.result import ResultKind
from clic_edge.errors import ConfigError
from clic_edge.ledger.deliveries import WAS_TAKEN
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import cases, result_objects, withdrawals

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

WITHDRAWABLE: Final = (CaseState.DELIVERED, CaseState.QUARANTINED)
"""A case in quarantine may have results, too: those of its other series were delivered."""
STAYS: Final = (ResultKind.ASSESSMENT, ResultKind.REJECTION)
"""What readers said stays, and so do earlier rejection notes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """That a person took the results of a case back."""

    case_id: str
    at: datetime
    person: str
    reason: str
    told_at: datetime | None = None
    """When every destination that takes rejection notes had taken this one's."""
    hindrance: str = ""
    """Code of what kept it from being told at the last try."""


class WithdrawalStore:
    """Withdrawals, on any SQLAlchemy engine; one for each case at most."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def withdraw(self, case_id: str, *, person: str, reason: str) -> None:
        """Let the results of a case count no more; the worker tells the destinations.

        Its end is not moved: a case took as long as it took.

        Raises
        ------
        ConfigError
            ``case-not-withdrawable``: it has not ended, or no destination has a result of it.

        """
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            changed = connection.execute(
                cases.update()
                .where(cases.c.case_id == case_id, cases.c.state.in_(WITHDRAWABLE), _was_sent())
                .values(state=CaseState.WITHDRAWN, code="", reason=reason)
            ).rowcount
            if not changed:
                raise ConfigError(
                    "case-not-withdrawable",
                    f"Case {case_id} has no results at a destination that count; "
                    "there is nothing to withdraw.",
                )
            row = {"case_id": case_id, "at": now, "person": person, "reason": reason}
            connection.execute(withdrawals.insert().values(**row, hindrance=""))
            event = AuditEvent(
                at=now, case_id=case_id, action="withdrawn", detail=reason, person=person
            )
            note_event(connection, event)

    def can(self, case_id: str) -> bool:
        """Whether a case has results that may be withdrawn."""
        query = sa.select(sa.literal(1)).where(
            cases.c.case_id == case_id, cases.c.state.in_(WITHDRAWABLE), _was_sent()
        )
        with self._engine.connect() as connection:
            return connection.scalar(query) is not None

    def of_case(self, case_id: str) -> Withdrawal | None:
        """Return the withdrawal of a case, if there is one."""
        return next(iter(self._select(withdrawals.c.case_id == case_id)), None)

    def untold(self) -> tuple[Withdrawal, ...]:
        """Return what some destination does not know yet, oldest first."""
        return self._select(withdrawals.c.told_at.is_(None))

    def tried(self, case_id: str, *, hindrance: str = "") -> None:
        """Remember that the destinations were told, or what hindered it."""
        now = datetime.now(UTC)
        values = {"hindrance": hindrance} if hindrance else {"hindrance": "", "told_at": now}
        with self._engine.begin() as connection:
            own = withdrawals.c.case_id == case_id
            connection.execute(withdrawals.update().where(own).values(**values))
            if not hindrance:
                event = AuditEvent(at=now, case_id=case_id, action="withdrawal-told")
                note_event(connection, event)

    def _select(self, where: sa.ColumnElement[bool]) -> tuple[Withdrawal, ...]:
        columns = [withdrawals.c[name] for name in Withdrawal.__slots__]
        query = sa.select(*columns).where(where).order_by(withdrawals.c.at)
        with self._engine.connect() as connection:
            return tuple(Withdrawal(**row._mapping) for row in connection.execute(query))


def _was_sent() -> sa.ColumnElement[bool]:
    """Return that a destination accepted something of a case that counts."""
    result = sa.select(sa.literal(1)).where(
        result_objects.c.case_id == cases.c.case_id,
        result_objects.c.current,
        result_objects.c.kind.not_in(STAYS),
        WAS_TAKEN,
    )
    return result.correlate(cases).exists()
