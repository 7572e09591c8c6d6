"""The outbox: what happened is written with the event itself, and sent by whoever comes first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.notice import (
    ChannelCount,
    Notice,
    NoticeKind,
    Sending,
    SendingState,
    Urgency,
)
from clic_edge.ledger.notice_tables import notice_sendings, notices
from clic_edge.ledger.sql import begin_writing, insert_once

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.engine import Engine

HOLD: Final = timedelta(minutes=5)
"""How long nobody else tries what a sender has taken in hand; one that died is followed then."""
LOOKS_BACK: Final = timedelta(days=7)
"""What is older is not told to a channel that is new."""
_LONGEST: Final = MappingProxyType({"key": 256, "about": 160, "detail": 160, "path": 256})
_LOCK = 0x434C4E54  # "CLNT"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRule:
    """What a channel gets, and how often."""

    name: str
    at_least: Urgency
    pause: timedelta
    """Between two messages of one kind."""


def announce(connection: sa.Connection, notice: Notice) -> bool:
    """Write a notice within the caller's transaction; return whether it is new."""
    row = {name: getattr(notice, name) for name in Notice.__slots__}
    # PostgreSQL takes no word too long, and what happened may not be undone for how it is told.
    row |= {name: row[name][:longest] for name, longest in _LONGEST.items()}
    return bool(insert_once(connection, notices, [row | {"notice_id": notice.notice_id}]))


class NoticeStore:
    """Notices and what became of them, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, notice: Notice) -> bool:
        """Write a notice; return whether it is new. Whoever writes it again changes nothing."""
        with self._engine.begin() as connection:
            return announce(connection, notice)

    def take(self, rule: ChannelRule, *, now: datetime) -> tuple[Sending, ...]:
        """Return what is to be sent through a channel now, oldest first; nobody else gets it.

        It comes again after `HOLD` unless `sent` or `failed` says what became of it. Of a kind
        that was sent within the rule's pause nothing comes, until the pause is over.
        """
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            _address(connection, rule, now=now)
            found = connection.execute(_due(rule, now=now)).all()
            ids = [row.notice_id for row in found]
            held = _own(rule.name, ids)
            values = {"next_at": now + HOLD}
            connection.execute(notice_sendings.update().where(held).values(values))
        return tuple(_sending(row) for row in found)

    def sent(self, channel: str, notice_ids: Collection[str], *, at: datetime) -> None:
        """Keep that notices went out."""
        values = {"state": SendingState.SENT, "sent_at": at, "code": ""}
        self._settle(channel, notice_ids, values)

    def failed(
        self, channel: str, notice_ids: Collection[str], *, code: str, next_at: datetime
    ) -> None:
        """Keep why notices did not go out, and when they are tried again."""
        self._settle(channel, notice_ids, {"code": code, "next_at": next_at})

    def give_up(self, channel: str, *, before: datetime, code: str) -> int:
        """Try no more what happened before a moment and was tried; return how many."""
        old = sa.select(notices.c.notice_id).where(notices.c.at < before)
        which = (
            (notice_sendings.c.channel == channel)
            & (notice_sendings.c.state == SendingState.WAITING)
            & (notice_sendings.c.attempts > 0)
            & notice_sendings.c.notice_id.in_(old)
        )
        values = {"state": SendingState.GIVEN_UP, "code": code}
        with self._engine.begin() as connection:
            return connection.execute(notice_sendings.update().where(which).values(values)).rowcount

    def _settle(self, channel: str, notice_ids: Collection[str], values: dict[str, object]) -> None:
        update = notice_sendings.update().where(_own(channel, notice_ids)).values(values)
        with self._engine.begin() as connection:
            connection.execute(update.values(attempts=notice_sendings.c.attempts + 1))

    def counts(self) -> tuple[ChannelCount, ...]:
        """Return how many notices of each channel are in each state."""
        columns = (notice_sendings.c.channel, notice_sendings.c.state)
        query = (
            sa.select(*columns, sa.func.count().label("count"), sa.func.min(notices.c.at))
            .join(notices)
            .group_by(*columns)
            .order_by(*columns)
        )
        with self._engine.connect() as connection:
            return tuple(
                ChannelCount(channel=channel, state=SendingState(state), count=count, oldest=at)
                for channel, state, count, at in connection.execute(query)
            )

    def newest(self, limit: int = 50) -> tuple[Sending, ...]:
        """Return the newest notices on their channels, the newest first."""
        query = _sendings().order_by(notices.c.at.desc(), notice_sendings.c.channel).limit(limit)
        with self._engine.connect() as connection:
            return tuple(_sending(row) for row in connection.execute(query))


def _own(channel: str, notice_ids: Collection[str]) -> sa.ColumnElement[bool]:
    return (notice_sendings.c.channel == channel) & notice_sendings.c.notice_id.in_(notice_ids)


def _address(connection: sa.Connection, rule: ChannelRule, *, now: datetime) -> None:
    """Write what became of no notice yet on this channel."""
    known = sa.select(notice_sendings.c.notice_id).where(notice_sendings.c.channel == rule.name)
    wanted = [one for one in Urgency if rule.at_least.includes(one)]
    fresh = sa.select(notices.c.notice_id).where(
        notices.c.at >= now - LOOKS_BACK,
        notices.c.urgency.in_(wanted),
        notices.c.notice_id.not_in(known),
    )
    start = {"channel": rule.name, "state": SendingState.WAITING, "attempts": 0, "code": ""}
    for notice_id in connection.scalars(fresh).all():
        row = start | {"notice_id": notice_id, "next_at": now}
        connection.execute(notice_sendings.insert().values(row))


def _due(rule: ChannelRule, *, now: datetime) -> sa.Select[tuple[object, ...]]:
    lately = (
        sa.select(notices.c.kind)
        .join(notice_sendings)
        .where(
            notice_sendings.c.channel == rule.name,
            notice_sendings.c.sent_at > now - rule.pause,
            # What was sent while the clock ran ahead holds nothing back.
            notice_sendings.c.sent_at <= now,
        )
    )
    return (
        _sendings()
        .where(
            notice_sendings.c.channel == rule.name,
            notice_sendings.c.state == SendingState.WAITING,
            (notice_sendings.c.next_at <= now) | (notice_sendings.c.next_at > now + LOOKS_BACK),
            notices.c.kind.not_in(lately),
        )
        .order_by(notices.c.at, notices.c.notice_id)
    )


def _sendings() -> sa.Select[tuple[object, ...]]:
    own = [notice_sendings.c[name] for name in Sending.__slots__ if name != "notice"]
    return sa.select(notices, *own).join(notice_sendings)


def _sending(row: sa.Row[tuple[object, ...]]) -> Sending:
    values = row._mapping
    told = {name: values[name] for name in Notice.__slots__}
    told |= {"kind": NoticeKind(values["kind"]), "urgency": Urgency(values["urgency"])}
    own = {name: values[name] for name in Sending.__slots__ if name != "notice"}
    own["state"] = SendingState(values["state"])
    return Sending(notice=Notice(**told), **own)
