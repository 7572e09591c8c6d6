"""Who did what: the audit trail and the models' history as one list, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the API reads the annotations
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.ledger.schema import audit_events, model_events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedDeeds:
    """Which part of the trail somebody wants to see."""

    person: str = ""
    action: str = ""
    case: str = ""
    """Beginning of a case's identifier."""
    model: str = ""
    """Somewhere in what it happened to."""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing that somebody, or the appliance, did."""

    at: datetime
    number: int
    """In its own trail."""
    trail: str
    """`audit`, or `models` for the chain of the models' states."""
    person: str
    """Empty of what the appliance did by itself."""
    action: str
    case_id: str
    about: str
    detail: str


class AuditStore:
    """Both trails as one, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self, wanted: WantedDeeds, *, limit: int, after: tuple[datetime, str, int] | None = None
    ) -> tuple[Deed, ...]:
        """Return deeds, the newest first, behind moment, trail and number of an earlier one."""
        with self._engine.connect() as connection:
            rows = connection.execute(_newest_first(wanted, after).limit(limit))
            return tuple(Deed(**row._mapping) for row in rows)

    def all(self, wanted: WantedDeeds) -> Iterator[Deed]:
        """Yield all deeds, the newest first, some at a time."""
        after: tuple[datetime, str, int] | None = None
        while found := self.page(wanted, limit=_ROWS_AT_ONCE, after=after):
            yield from found
            after = (found[-1].at, found[-1].trail, found[-1].number)

    def choices(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the persons and the actions that there are, by name."""
        both = _both().subquery()
        with self._engine.connect() as connection:
            persons, actions = (
                tuple(
                    connection.scalars(
                        sa.select(column).distinct().where(column != "").order_by(column)
                    )
                )
                for column in (both.c.person, both.c.action)
            )
        return persons, actions


def _both() -> sa.CompoundSelect[tuple[object, ...]]:
    events, moves = audit_events.c, model_events.c
    return sa.union_all(
        sa.select(
            events.at,
            events.seq.label("number"),
            sa.literal("audit").label("trail"),
            events.person,
            events.action,
            events.case_id,
            events.about,
            events.detail,
        ),
        sa.select(
            moves.at,
            moves.seq.label("number"),
            sa.literal("models").label("trail"),
            moves.person,
            (sa.literal("model-") + moves.now).label("action"),
            sa.literal("").label("case_id"),
            (moves.model_id + " " + moves.version + " in " + moves.pipeline).label("about"),
            moves.reason.label("detail"),
        ),
    )


def _newest_first(
    wanted: WantedDeeds, after: tuple[datetime, str, int] | None
) -> sa.Select[tuple[object, ...]]:
    both = _both().subquery()
    where: sa.ColumnElement[bool] = sa.true()
    if wanted.person:
        where &= both.c.person == wanted.person
    if wanted.action:
        where &= both.c.action == wanted.action
    if wanted.case:
        where &= both.c.case_id.startswith(wanted.case, autoescape=True)
    if wanted.model:
        where &= both.c.about.contains(wanted.model, autoescape=True)
    if wanted.since:
        where &= both.c.at >= wanted.since
    if wanted.until:
        where &= both.c.at < wanted.until
    if after:
        at, trail, number = after
        same = (both.c.trail < trail) | ((both.c.trail == trail) & (both.c.number < number))
        where &= (both.c.at < at) | ((both.c.at == at) & same)
    order = (both.c.at.desc(), both.c.trail.desc(), both.c.number.desc())
    return sa.select(both).where(where).order_by(*order)
