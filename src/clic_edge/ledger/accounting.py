"""What the daily account asks of the ledger, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.accounting import (
    ACCOUNTING,
    DayAccount,
    Difference,
    DifferenceKind,
    bounds,
)
from clic_edge.domain.constancy import CONSTANCY_MARK
from clic_edge.domain.monitoring import Channel, Direction, Severity
from clic_edge.domain.result import Receipt
from clic_edge.ledger.accounting_tables import account_differences, day_accounts
from clic_edge.ledger.announcing import account_differs
from clic_edge.ledger.cases import COLUMNS, case_of
from clic_edge.ledger.deliveries import ResultRow, result_rows
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import cases, drift_alarms, receipts, result_objects
from clic_edge.ledger.sql import begin_writing, in_parts, insert_once, insert_or_replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from sqlalchemy.engine import Engine

    from clic_edge.domain.accounting import DifferenceCount
    from clic_edge.domain.case import Case
    from clic_edge.ledger.search import Place

TRIED_AGAIN: Final = timedelta(hours=1)
"""An account that could not be completed is made again after so long, and not by two at once."""
_LOCK: Final = 0x434C4341  # "CLCA": two workers never begin the same account


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One case of a day with what it says."""

    case: Case
    results: tuple[ResultRow, ...]
    """That count now."""
    receipts: tuple[Receipt, ...]
    """Of these, the newest answer of each destination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDay:
    """A day of which an account was begun."""

    day: date
    tried_at: datetime
    complete: bool
    account: DayAccount | None
    """None until it was made once."""


class AccountingStore:
    """Accounts of days, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def entered(self, day: date) -> int:
        """Return how many cases of patients were received on a day."""
        with self._engine.connect() as connection:
            query = sa.select(sa.func.count()).select_from(cases).where(_of_day(day))
            return connection.scalar(query) or 0

    def entries(self, day: date, *, limit: int, after: Place | None = None) -> tuple[Entry, ...]:
        """Return cases of a day, oldest first, beginning behind `after`."""
        columns = cases.c
        query = sa.select(*COLUMNS).where(_of_day(day))
        if after:
            same = (columns.received_at == after.received_at) & (columns.case_id > after.case_id)
            query = query.where((columns.received_at > after.received_at) | same)
        query = query.order_by(columns.received_at, columns.case_id).limit(limit)
        with self._engine.connect() as connection:
            found = [case_of(row) for row in connection.execute(query)]
            said = _results(connection, [case.case_id for case in found])
            answers = _receipts(connection, [case.case_id for case in found])
        return tuple(
            Entry(
                case=case,
                results=tuple(said.get(case.case_id, ())),
                receipts=tuple(answers.get(case.case_id, ())),
            )
            for case in found
        )

    def known(self, study_ids: Iterable[str]) -> frozenset[str]:
        """Return those of some studies that have a case."""
        found: set[str] = set()
        with self._engine.connect() as connection:
            for part in in_parts(study_ids):
                query = sa.select(cases.c.study_id).where(cases.c.study_id.in_(part))
                found |= set(connection.scalars(query.distinct()))
        return frozenset(found)

    def answered(self, destination: str, uids: Iterable[str]) -> frozenset[str]:
        """Return those of some objects that we have sent to a destination at any time."""
        found: set[str] = set()
        with self._engine.connect() as connection:
            for part in in_parts(uids):
                query = sa.select(receipts.c.sop_instance_uid).where(
                    receipts.c.sop_instance_uid.in_(part),
                    receipts.c.destination == destination,
                )
                found |= set(connection.scalars(query))
        return frozenset(found)

    def claim(self, day: date, now: datetime) -> bool:
        """Whether the account of a day is ours to make: nobody has made it whole or tries it now."""
        row = {"day": day, "tried_at": now, "complete": False, "content": ""}
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            if insert_once(connection, day_accounts, [row]):
                return True
            # A clock that was set back does not keep a day from being tried.
            free = (day_accounts.c.tried_at < now - TRIED_AGAIN) | (day_accounts.c.tried_at > now)
            ours = (day_accounts.c.day == day) & ~day_accounts.c.complete & free
            changed = connection.execute(day_accounts.update().where(ours).values(tried_at=now))
            return bool(changed.rowcount)

    def keep(self, account: DayAccount, differences: Iterable[Difference]) -> None:
        """Keep an account in place of an earlier one of the day, and let its differences ring.

        Each kind rings once for a day and destination. What the earlier account rang of, and this
        one does not find where it could look, is closed.
        """
        row = {
            "day": account.day,
            "tried_at": account.made_at,
            "complete": account.is_complete,
            "content": account.content,
        }
        rang = {
            (one.kind, one.destination): one.alarm_id(account.day) for one in account.differences
        }
        found = [
            {name: getattr(one, name) for name in Difference.__slots__}
            | {"day": account.day, "number": number, "alarm_id": rang[one.kind, one.destination]}
            for number, one in enumerate(differences)
        ]
        with self._engine.begin() as connection:
            insert_or_replace(connection, day_accounts, row)
            if account.is_complete:
                _close_others(connection, account, set(rang.values()))
            this = account_differences.c.day == account.day
            connection.execute(account_differences.delete().where(this))
            if found:
                connection.execute(account_differences.insert(), found)
            for one in account.differences:
                _ring(connection, account, one)
            _note(connection, account)

    def days(self, *, limit: int, before: date | None = None) -> tuple[KeptDay, ...]:
        """Return the newest days of which an account was begun, the newest first."""
        query = sa.select(day_accounts).order_by(day_accounts.c.day.desc()).limit(limit)
        if before is not None:
            query = query.where(day_accounts.c.day < before)
        with self._engine.connect() as connection:
            return tuple(
                KeptDay(
                    day=row.day,
                    tried_at=row.tried_at,
                    complete=row.complete,
                    account=DayAccount.from_content(row.content) if row.content else None,
                )
                for row in connection.execute(query)
            )

    def account(self, day: date) -> DayAccount | None:
        """Return the account of a day; None where there is none."""
        query = sa.select(day_accounts.c.content).where(day_accounts.c.day == day)
        with self._engine.connect() as connection:
            content = connection.scalar(query)
        return DayAccount.from_content(content) if content else None

    def differences(self, day: date) -> tuple[Difference, ...]:
        """Return where the books of a day differed, the first of each kind."""
        columns = [account_differences.c[name] for name in Difference.__slots__]
        query = sa.select(*columns).where(account_differences.c.day == day)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(account_differences.c.number))
            return tuple(
                Difference(**dict(row._mapping) | {"kind": DifferenceKind(row.kind)})
                for row in rows
            )


def _of_day(day: date) -> sa.ColumnElement[bool]:
    since, until = bounds(day)
    is_a_patients = ~cases.c.pipeline.startswith(CONSTANCY_MARK, autoescape=True)
    return (cases.c.received_at >= since) & (cases.c.received_at < until) & is_a_patients


def _results(connection: sa.Connection, case_ids: list[str]) -> Mapping[str, list[ResultRow]]:
    found: dict[str, list[ResultRow]] = {}
    for part in in_parts(case_ids):
        own = result_objects.c.case_id.in_(part) & result_objects.c.current
        for case_id, row in result_rows(connection, own):
            found.setdefault(case_id, []).append(row)
    return found


def _receipts(connection: sa.Connection, case_ids: list[str]) -> Mapping[str, list[Receipt]]:
    found: dict[str, list[Receipt]] = {}
    columns = [receipts.c[name] for name in Receipt.__slots__]
    for part in in_parts(case_ids):
        query = (
            sa.select(result_objects.c.case_id, *columns)
            .join(result_objects)
            .where(result_objects.c.case_id.in_(part), result_objects.c.current)
            .order_by(receipts.c.destination, receipts.c.sop_instance_uid)
        )
        for case_id, *values in connection.execute(query):
            receipt = Receipt(**dict(zip(Receipt.__slots__, values, strict=True)))
            found.setdefault(case_id, []).append(receipt)
    return found


def _ring(connection: sa.Connection, account: DayAccount, found: DifferenceCount) -> None:
    """Open the alarm of a difference, once for the day, and say so."""
    where = f" at {found.destination}" if found.destination else ""
    row = {
        "alarm_id": found.alarm_id(account.day),
        "model_id": ACCOUNTING,
        "model_digest": "",
        "manufacturer": "",
        "model_name": "",
        "software_versions": "",
        "chart": f"{found.kind} {found.destination}".strip(),
        "direction": Direction.UP,
        "channel": Channel.ACCOUNTING,
        "severity": Severity.WARNING,
        "opened_at": account.made_at,
        "sentence": f"The account of {account.day} differs: {found.count} × {found.kind}{where}.",
        "is_event": True,
    }
    if insert_once(connection, drift_alarms, [row]):
        about = f"alarm {row['alarm_id']} of {ACCOUNTING}"
        note_event(
            connection,
            AuditEvent(
                at=account.made_at,
                action="alarm-opened",
                about=about,
                detail=str(row["sentence"]),
            ),
        )
        account_differs(connection, account.day, found, at=account.made_at)


def _close_others(connection: sa.Connection, account: DayAccount, still: set[str]) -> None:
    """Close what an earlier account of the day rang of and this one does not find any more."""
    of_day = account_differences.c.day == account.day
    earlier = sa.select(account_differences.c.alarm_id).where(of_day).distinct()
    for alarm_id in set(connection.scalars(earlier)) - still:
        this = (drift_alarms.c.alarm_id == alarm_id) & drift_alarms.c.closed_at.is_(None)
        closing = {"closed_at": account.made_at, "closed_why": "the account was made again"}
        if connection.execute(drift_alarms.update().where(this).values(**closing)).rowcount:
            about = f"alarm {alarm_id} of {ACCOUNTING}"
            why = str(closing["closed_why"])
            event = AuditEvent(at=account.made_at, action="alarm-closed", about=about, detail=why)
            note_event(connection, event)


def _note(connection: sa.Connection, account: DayAccount) -> None:
    count = sum(one.count for one in account.differences)
    state = "" if account.is_complete else ", not completed"
    event = AuditEvent(
        at=account.made_at,
        action="account-made",
        person=account.person,
        about=f"account {account.day}",
        detail=f"{account.entered} cases, {count} differences{state}",
    )
    note_event(connection, event)
