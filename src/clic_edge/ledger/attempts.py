"""How often a log-in failed, by where it came from: counted before the password is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.ledger.access_tables import login_attempts
from clic_edge.ledger.sql import begin_writing, insert_or_replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Engine

_LOCK = 0x434C4941  # "CLIA": two web processes never count the same attempt as one
_FORGOTTEN = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What attempts are counted by: an account, or an address."""

    name: str
    free: int
    """So many attempts fail at no cost."""
    longest: timedelta
    """No failure costs more than this wait, so that nobody is locked out for ever."""

    def wait(self, failures: int) -> timedelta:
        """Return how long the next attempt has to wait after the last: doubled by each."""
        over = failures - self.free
        if over < 0:
            return timedelta(0)
        return min(self.longest, timedelta(seconds=2 ** min(over, 30)))


class AttemptStore:
    """The table of failed attempts, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, origins: Sequence[Origin], now: datetime) -> timedelta | None:
        """Count an attempt as failed for each origin; return a wait instead if one has to wait.

        An attempt that has to wait is not counted: hammering makes no wait longer. Attempts at
        the same time are counted one after another, also those of several processes.
        """
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            old = login_attempts.c.last_at < now - _FORGOTTEN
            connection.execute(login_attempts.delete().where(old))
            failures = _failures(connection, origins)
            waits = [
                last_at + one.wait(count) - now
                for one in origins
                for count, last_at in [failures.get(one.name, (0, now))]
            ]
            if (longest := max(waits)) > timedelta(0):
                return longest
            for one in origins:
                count, _ = failures.get(one.name, (0, now))
                row = {"origin": one.name, "failures": count + 1, "last_at": now}
                insert_or_replace(connection, login_attempts, row)
        return None

    def forget(self, name: str) -> None:
        """Forget the failures of an origin: the right password was told."""
        with self._engine.begin() as connection:
            this = login_attempts.c.origin == name
            connection.execute(login_attempts.delete().where(this))

    def take_back(self, name: str) -> None:
        """Count one failure of an origin less: an attempt was none after all."""
        this = login_attempts.c.origin == name
        fewer = login_attempts.c.failures - 1
        with self._engine.begin() as connection:
            connection.execute(login_attempts.update().where(this).values(failures=fewer))


def _failures(
    connection: sa.Connection, origins: Iterable[Origin]
) -> dict[str, tuple[int, datetime]]:
    these = login_attempts.c.origin.in_([one.name for one in origins])
    rows = connection.execute(sa.select(login_attempts).where(these))
    return {row.origin: (row.failures, row.last_at) for row in rows}
