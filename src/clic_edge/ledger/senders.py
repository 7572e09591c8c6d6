"""Who may send, and who was seen and is not trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.sender import Sender
from clic_edge.errors import ConfigError
from clic_edge.ledger.access_tables import senders
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.sql import begin_writing

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Engine

MOST_STRANGERS: Final = 500
"""Whoever knocks under ever new names pushes out strangers who have not come for longest."""
_LOCK: Final = 0x53454E44
LONGEST_WORDS: Final = 200


class SenderStore:
    """The table of senders, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> tuple[Sender, ...]:
        """Return every sender, those that are not allowed first, and of each the newest first."""
        query = sa.select(senders).order_by(
            senders.c.allowed_at.is_not(None), senders.c.last_at.desc(), senders.c.ae_title
        )
        with self._engine.connect() as connection:
            return tuple(Sender(**row._mapping) for row in connection.execute(query))

    def allowed(self) -> frozenset[tuple[str, str]]:
        """Return AE title and address of everybody who may send."""
        query = sa.select(senders.c.ae_title, senders.c.address).where(
            senders.c.allowed_at.is_not(None)
        )
        with self._engine.connect() as connection:
            return frozenset((row.ae_title, row.address) for row in connection.execute(query))

    def saw(self, ae_title: str, address: str, *, instances: int, at: datetime) -> None:
        """Remember that somebody who is not allowed tried to send so many instances."""
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            known = _find(connection, ae_title, address)
            if known:
                more = {"last_at": at, "instances": known.instances + instances}
                connection.execute(senders.update().where(_is(known)).values(more))
                return
            _make_room(connection)
            new = Sender(
                ae_title=ae_title, address=address, first_at=at, last_at=at, instances=instances
            )
            connection.execute(senders.insert().values(_row(new)))

    def allow(self, sender: Sender) -> None:
        """Let a sender in, with its name, the reason and who says so; it need not have been seen.

        Raises
        ------
        ConfigError
            ``sender-unnamed``: name or reason is missing, or longer than fits.

        """
        words = (sender.name, sender.reason, sender.ae_title, sender.address)
        if not all(0 < len(one) <= LONGEST_WORDS and one.isprintable() for one in words):
            raise ConfigError(
                "sender-unnamed",
                "Who allows a sender says what it is and why, each on one line of at most "
                f"{LONGEST_WORDS} letters.",
            )
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            known = _find(connection, sender.ae_title, sender.address)
            if known:
                sender = replace(sender, first_at=known.first_at, instances=known.instances)
                connection.execute(senders.delete().where(_is(known)))
            connection.execute(senders.insert().values(_row(sender)))
            detail = f"{sender.name}: {sender.reason}"
            at = sender.allowed_at or sender.last_at
            _note(connection, sender, "sender-allowed", by=sender.allowed_by, detail=detail, at=at)

    def forget(self, ae_title: str, address: str, *, by: str, at: datetime) -> None:
        """Take a sender off the list: it may not send, until somebody allows it again.

        Raises ConfigError ``no-such-sender``.
        """
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            known = _find(connection, ae_title, address)
            if known is None:
                raise ConfigError(
                    "no-such-sender", "No sender of that AE title and address is known."
                )
            connection.execute(senders.delete().where(_is(known)))
            _note(connection, known, "sender-forgotten", by=by, detail=known.name, at=at)


def _find(connection: sa.Connection, ae_title: str, address: str) -> Sender | None:
    this = (senders.c.ae_title == ae_title) & (senders.c.address == address)
    row = connection.execute(sa.select(senders).where(this)).one_or_none()
    return Sender(**row._mapping) if row else None


def _is(sender: Sender) -> sa.ColumnElement[bool]:
    return (senders.c.ae_title == sender.ae_title) & (senders.c.address == sender.address)


def _make_room(connection: sa.Connection) -> None:
    strangers = (
        sa.select(senders)
        .where(senders.c.allowed_at.is_(None))
        .order_by(senders.c.last_at.desc())
        .offset(MOST_STRANGERS - 1)
    )
    for row in connection.execute(strangers).all():
        connection.execute(senders.delete().where(_is(Sender(**row._mapping))))


def _row(sender: Sender) -> dict[str, object]:
    return {name: getattr(sender, name) for name in Sender.__slots__}


def _note(
    connection: sa.Connection, sender: Sender, action: str, *, by: str, detail: str, at: datetime
) -> None:
    about = f"sender {sender.ae_title} {sender.address}"
    note_event(connection, AuditEvent(at=at, action=action, detail=detail, person=by, about=about))
