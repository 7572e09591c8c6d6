"""The accounts of days: a list of them, and one with its differences and its cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.board.cases import cursor_of, place_of
from clic_edge.domain.accounting import (
    DayAccount,
    Difference,
    Outcome,
    OutcomeCount,
)
from clic_edge.domain.result import Receipt, ResultKind  # noqa: TC001 - the API reads the annotations
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.ledger import Ledger
    from clic_edge.ledger.accounting import Entry

from datetime import date, datetime  # noqa: TC003 - the API reads the annotations

_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptedObject:
    """A result object of a case, and who has accepted it."""

    kind: ResultKind
    sop_instance_uid: str
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLine:
    """One case of a day."""

    case_id: str
    pipeline: str
    """``-`` for a study that no pipeline takes."""
    received_at: datetime
    outcome: Outcome
    """As it is now."""
    code: str
    reason: str
    objects: tuple[ReceiptedObject, ...]
    accepted: int
    """Receipts of destinations that have accepted one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySummary:
    """A day in the list of accounts."""

    day: date
    tried_at: datetime
    complete: bool
    """Whether every place was compared."""
    account: DayAccount | None
    """None until it was made once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayList:
    """Days of which an account was begun, the newest first."""

    days: tuple[DaySummary, ...]
    before: date | None
    """Where the next page begins; None at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """The account of a day with its differences."""

    account: DayAccount
    outcomes: tuple[OutcomeCount, ...]
    """Those of which there are cases, and the five that every sum has."""
    differences: tuple[Difference, ...]
    """The first of each kind; the account has the counts."""
    balances: bool
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPage:
    """A page of the cases of a day."""

    entries: tuple[EntryLine, ...]
    """Oldest first."""
    after: str | None
    """Cursor of the next page; None at the end."""


_ALWAYS = (
    Outcome.DELIVERED,
    Outcome.REFUSED,
    Outcome.QUARANTINED,
    Outcome.OPEN,
    Outcome.NOT_TAKEN,
)


def day_list(ledger: Ledger, *, limit: int = 31, before: date | None = None) -> DayList:
    """Return a page of days; `before` is what an earlier page gave."""
    found = ledger.accounting.days(limit=limit + 1, before=before)
    shown = found[:limit]
    return DayList(
        days=tuple(
            DaySummary(
                day=one.day, tried_at=one.tried_at, complete=one.complete, account=one.account
            )
            for one in shown
        ),
        before=shown[-1].day if len(found) > limit else None,
    )


def account_view(ledger: Ledger, day: date) -> AccountView:
    """Return the account of a day. Raises ConfigError ``no-account``."""
    account = ledger.accounting.account(day)
    if account is None:
        raise ConfigError(
            "no-account", f"There is no account of {day}; `clic-edge account --day {day}` makes it."
        )
    return view_of(account, ledger.accounting.differences(day))


def view_of(account: DayAccount, differences: tuple[Difference, ...]) -> AccountView:
    """Return an account as it is shown."""
    return AccountView(
        account=account,
        outcomes=tuple(one for one in account.outcomes if one.count or one.outcome in _ALWAYS),
        differences=differences,
        balances=account.balances,
        complete=account.is_complete,
    )


def entry_page(
    ledger: Ledger, day: date, *, limit: int = 50, after: str | None = None
) -> EntryPage:
    """Return a page of the cases of a day behind a cursor that an earlier page gave."""
    place = place_of(after) if after else None
    found = ledger.accounting.entries(day, limit=limit + 1, after=place)
    shown = found[:limit]
    return EntryPage(
        entries=tuple(_line(one) for one in shown),
        after=cursor_of(shown[-1].case) if len(found) > limit else None,
    )


def all_entries(ledger: Ledger, day: date) -> Iterator[EntryLine]:
    """Yield every case of a day, oldest first, some in memory at a time."""
    after: str | None = None
    while True:
        page = entry_page(ledger, day, limit=_AT_ONCE, after=after)
        yield from page.entries
        if page.after is None:
            return
        after = page.after


def _line(entry: Entry) -> EntryLine:
    case = entry.case
    return EntryLine(
        case_id=case.case_id,
        pipeline=case.pipeline,
        received_at=case.received_at,
        outcome=Outcome.of(case),
        code=case.code,
        reason=case.reason,
        accepted=sum(one.accepted for one in entry.receipts),
        objects=tuple(
            ReceiptedObject(
                kind=row.kind,
                sop_instance_uid=row.sop_instance_uid,
                receipts=tuple(
                    one for one in entry.receipts if one.sop_instance_uid == row.sop_instance_uid
                ),
            )
            for row in entry.results
        ),
    )
