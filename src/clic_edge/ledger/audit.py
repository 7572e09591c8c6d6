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
_SUGGESTED_OF = 2000


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
        found = list[Deed]()
        with self._engine.connect() as connection:
            for trail in (_audit(), _models()):
                query = _newest_first(trail, wanted, after=after).limit(limit)
                found += [Deed(**row._mapping) for row in connection.execute(query)]
        found.sort(key=lambda one: (one.at, one.trail, one.number), reverse=True)
        return tuple(found[:limit])

    def all(self, wanted: WantedDeeds) -> Iterator[Deed]:
        """Yield all deeds, the newest first, some at a time."""
        after: tuple[datetime, str, int] | None = None
        while found := self.page(wanted, limit=_ROWS_AT_ONCE, after=after):
            yield from found
            after = (found[-1].at, found[-1].trail, found[-1].number)

    def choices(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the persons and the actions of the newest deeds, by name."""
        newest = self.page(WantedDeeds(), limit=_SUGGESTED_OF)
        persons, actions = {one.person for one in newest}, {one.action for one in newest}
        return tuple(sorted(persons - {""})), tuple(sorted(actions))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trail:
    """One of the two tables, as deeds."""

    name: str
    at: sa.ColumnElement[datetime]
    number: sa.ColumnElement[int]
    person: sa.ColumnElement[str]
    action: sa.ColumnElement[str]
    case_id: sa.ColumnElement[str]
    about: sa.ColumnElement[str]
    detail: sa.ColumnElement[str]


def _audit() -> _Trail:
    columns = audit_events.c
    return _Trail(
        name="audit",
        at=columns.at,
        number=columns.seq,
        person=columns.person,
        action=columns.action,
        case_id=columns.case_id,
        about=columns.about,
        detail=columns.detail,
    )


def _models() -> _Trail:
    columns = model_events.c
    return _Trail(
        name="models",
        at=columns.at,
        number=columns.seq,
        person=columns.person,
        action=sa.literal("model-") + columns.now,
        case_id=sa.literal(""),
        about=columns.model_id + " " + columns.version + " in " + columns.pipeline,
        detail=columns.reason,
    )


def _newest_first(
    trail: _Trail, wanted: WantedDeeds, *, after: tuple[datetime, str, int] | None
) -> sa.Select[tuple[object, ...]]:
    columns = [getattr(trail, name).label(name) for name in Deed.__slots__ if name != "trail"]
    query = sa.select(*columns, sa.literal(trail.name).label("trail"))
    if wanted.person:
        query = query.where(trail.person == wanted.person)
    if wanted.action:
        query = query.where(trail.action == wanted.action)
    if wanted.case:
        query = query.where(trail.case_id.startswith(wanted.case, autoescape=True))
    if wanted.model:
        query = query.where(trail.about.contains(wanted.model, autoescape=True))
    if wanted.since:
        query = query.where(trail.at >= wanted.since)
    if wanted.until:
        query = query.where(trail.at < wanted.until)
    if after:
        at, name, number = after
        # A range of the index first, then what of its last moment has been seen.
        seen: sa.ColumnElement[bool] = sa.true() if trail.name > name else sa.false()
        seen = trail.number >= number if trail.name == name else seen
        query = query.where(trail.at <= at, ~((trail.at == at) & seen))
    return query.order_by(trail.at.desc(), trail.number.desc())
