"""The worker's account of each day: made once at night, and made up for after the worker was down."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from clic_edge.accounting.making import make_account
from clic_edge.beside import beside
from clic_edge.ledger.accounting import TRIED_AGAIN
from clic_edge.pipeline.clock import last_moment, local_zone

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import date, tzinfo

    from clic_edge.accounting.books import Books

MADE_UP: Final = 14
"""Days that are made up for; what lies before them was never accounted for, and is not."""


def keeping_accounts(
    books: Books, *, at: str, every_seconds: float
) -> AbstractContextManager[None]:
    """Make the accounts that are due in a thread of its own; one in hand is made to its end."""
    stop = threading.Event()
    keeper = Keeper(books, at=at, zone=local_zone())
    look = partial(keeper.look, stop=stop)
    return beside("accounting", look, every_seconds=every_seconds, stop=stop, to_its_end=True)


class Keeper:
    """Asked again and again which accounts are due; makes them, the oldest first."""

    def __init__(self, books: Books, *, at: str, zone: tzinfo) -> None:
        self._books = books
        self._kept = books.ledger.accounting
        self._at = at
        self._zone = zone

    def look(self, now: datetime, stop: threading.Event | None = None) -> None:
        """Make what is due; what hindered one is tried again later."""
        for day in self.due(now):
            if stop and stop.is_set():
                return
            if self._kept.claim(day, now):
                self._kept.keep(*make_account(self._books, day, now=datetime.now(UTC)))

    def due(self, now: datetime) -> list[date]:
        """Return the days (UTC) that were over at the last moment, and have no whole account."""
        last = last_moment(self._at, now, self._zone).date() - timedelta(days=1)
        kept = {one.day: one for one in self._kept.days(limit=MADE_UP)}
        first = min(kept, default=last)  # before the first account nobody kept any
        days = [last - timedelta(days=back) for back in reversed(range(MADE_UP))]
        return [
            day
            for day in days
            if day >= first
            if day not in kept
            or (not kept[day].complete and abs(now - kept[day].tried_at) >= TRIED_AGAIN)
        ]
