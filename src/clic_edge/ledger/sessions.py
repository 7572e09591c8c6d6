"""Sessions: who is logged in. A token is never kept, only its SHA-256."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.ledger.access_tables import accounts, sessions
from clic_edge.ledger.accounts import record_of
from clic_edge.ledger.records import AuditEvent, note_event

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.engine import Engine

    from clic_edge.ledger.accounts import AccountRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One log-in of one browser."""

    session_id: str
    """To speak of it; it opens nothing."""
    name: str
    """Of the account."""
    address: str
    """Where the browser was."""
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    """However much it is used."""
    token_digest: str = field(repr=False)


class SessionStore:
    """The table of sessions, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, session: Session, *, how: str, forget_before: datetime) -> None:
        """Keep a session, and that somebody logged in and how; forget those that ended long ago."""
        row = {name: getattr(session, name) for name in Session.__slots__}
        event = AuditEvent(
            at=session.created_at,
            action="logged-in",
            detail=f"{how}, from {session.address}",
            person=session.name,
            about=f"account {session.name}",
        )
        with self._engine.begin() as connection:
            connection.execute(sessions.delete().where(sessions.c.expires_at < forget_before))
            connection.execute(sessions.insert().values(**row))
            note_event(connection, event)

    def find(
        self, token_digest: str, *, now: datetime, idle: timedelta
    ) -> tuple[Session, AccountRecord] | None:
        """Return a session that is alive, and its account; None where either is not.

        A session is alive until it is ended, expires, or was not used for as long as `idle`.
        """
        alive = sa.select(sessions).where(
            sessions.c.token_digest == token_digest, _alive(now, idle)
        )
        with self._engine.connect() as connection:
            row = connection.execute(alive).one_or_none()
            if row is None:
                return None
            session = _session(row._mapping)
            its = (accounts.c.name == session.name) & accounts.c.is_disabled.is_(False)
            of = connection.execute(sa.select(accounts).where(its)).one_or_none()
        return (session, record_of(of._mapping)) if of else None

    def touch(self, session: Session, now: datetime) -> None:
        """Remember that a session is used."""
        this = sessions.c.token_digest == session.token_digest
        with self._engine.begin() as connection:
            connection.execute(sessions.update().where(this).values(used_at=now))

    def of(self, name: str, *, now: datetime, idle: timedelta) -> tuple[Session, ...]:
        """Return the sessions of an account that are alive, the newest first."""
        query = sa.select(sessions).where(sessions.c.name == name, _alive(now, idle))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(sessions.c.created_at.desc()))
            return tuple(_session(row._mapping) for row in rows)

    def end(self, session_id: str, *, name: str, now: datetime) -> None:
        """End a session of an account; one that has ended, or is another's, stays as it is."""
        this = (sessions.c.session_id == session_id) & (sessions.c.name == name)
        still = this & sessions.c.ended_at.is_(None)
        with self._engine.begin() as connection:
            if connection.execute(sessions.update().where(still).values(ended_at=now)).rowcount:
                event = AuditEvent(
                    at=now, action="logged-out", person=name, about=f"account {name}"
                )
                note_event(connection, event)

    def has_been(self, name: str, address: str) -> bool:
        """Return whether an account has logged in from an address lately."""
        query = sa.select(sessions.c.session_id).where(
            sessions.c.name == name, sessions.c.address == address
        )
        with self._engine.connect() as connection:
            return connection.execute(query.limit(1)).one_or_none() is not None


def _alive(now: datetime, idle: timedelta) -> sa.ColumnElement[bool]:
    return (
        sessions.c.ended_at.is_(None)
        & (sessions.c.expires_at > now)
        & (sessions.c.used_at > now - idle)
    )


def _session(row: sa.RowMapping) -> Session:
    return Session(**{name: row[name] for name in Session.__slots__})
