"""Cases as people look for them: page by page, the newest first, by what became of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.ledger.cases import COLUMNS, case_of
from clic_edge.ledger.schema import cases, predictions, result_objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from clic_edge.domain.case import Case, CaseState

_NEWEST_FIRST: Final = (cases.c.received_at.desc(), cases.c.case_id.desc())
_RECENT: Final = 2000
"""Of so many newest cases it is told what there is to choose from."""
_RARE: Final = 5000
"""Fewer predictions than this are looked up before the cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which cases are looked for; what is empty leaves none out."""

    states: tuple[CaseState, ...] = ()
    pipeline: str = ""
    model: str = ""
    """Identifier of a model that has a prediction of the case, in the shadow too."""
    manufacturer: str = ""
    scanner: str = ""
    """Manufacturer's Model Name (0008,1090)."""
    software: str = ""
    since: datetime | None = None
    """Received from here."""
    until: datetime | None = None
    """Received before here."""
    code: str = ""
    """Of the case, as it waits, was refused or is in quarantine."""
    text: str = ""
    """Beginning of a case's identifier, or a subject's pseudonym."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a page ended: the next one begins behind it."""

    received_at: datetime
    case_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A model as people call it."""

    model_id: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the newest cases have, sorted: suggestions, not limits."""

    pipelines: tuple[str, ...]
    models: tuple[str, ...]
    codes: tuple[str, ...]
    manufacturers: tuple[str, ...]
    scanners: tuple[str, ...]
    software: tuple[str, ...]


class SearchStore:
    """Looks for cases, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(self, wanted: Wanted, *, limit: int, after: Place | None = None) -> tuple[Case, ...]:
        """Return at most `limit` cases, the newest first, beginning behind `after`."""
        query = sa.select(*COLUMNS)
        if after:
            query = query.where(*_behind(after))
        with self._engine.connect() as connection:
            query = query.where(*_conditions(connection, wanted))
            rows = connection.execute(query.order_by(*_NEWEST_FIRST).limit(limit))
            return tuple(case_of(row) for row in rows)

    def count(self, wanted: Wanted, *, most: int) -> int:
        """Return how many cases there are; counting ends at `most`."""
        with self._engine.connect() as connection:
            conditions = _conditions(connection, wanted)
            found = sa.select(cases.c.case_id).where(*conditions).limit(most).subquery()
            return connection.scalar(sa.select(sa.func.count()).select_from(found)) or 0

    def names(self, wanted: Wanted, *, most: int) -> tuple[str, ...]:
        """Return the identifiers of at most `most` cases, sorted: what a sample is drawn from."""
        newest = sa.select(cases.c.case_id).order_by(*_NEWEST_FIRST).limit(most)
        with self._engine.connect() as connection:
            query = newest.where(*_conditions(connection, wanted))
            return tuple(sorted(connection.scalars(query)))

    def chosen(self, case_ids: Sequence[str]) -> tuple[Case, ...]:
        """Return the cases of a sample, the newest first."""
        query = sa.select(*COLUMNS).where(cases.c.case_id.in_(case_ids))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(*_NEWEST_FIRST))
            return tuple(case_of(row) for row in rows)

    def told_by(self, case_ids: Sequence[str]) -> Mapping[str, tuple[Named, ...]]:
        """Return the models whose findings each case tells of."""
        query = (
            sa.select(result_objects.c.case_id, predictions.c.model_id, predictions.c.model_version)
            .join(predictions, predictions.c.prediction_id == result_objects.c.prediction_id)
            .where(result_objects.c.case_id.in_(case_ids), result_objects.c.current)
            .distinct()
            .order_by(predictions.c.model_id, predictions.c.model_version)
        )
        found: dict[str, list[Named]] = {}
        with self._engine.connect() as connection:
            for case_id, model_id, version in connection.execute(query):
                found.setdefault(case_id, []).append(Named(model_id=model_id, version=version))
        return {case_id: tuple(named) for case_id, named in found.items()}

    def choices(self) -> Choices:
        """Return what the newest cases have."""
        newest = sa.select(cases).order_by(*_NEWEST_FIRST).limit(_RECENT).subquery()
        made = sa.select(predictions).where(predictions.c.case_id.in_(sa.select(newest.c.case_id)))
        recent = made.subquery()
        with self._engine.connect() as connection:

            def distinct(query: sa.Select[str]) -> tuple[str, ...]:
                return tuple(sorted({one for one in connection.scalars(query.distinct()) if one}))

            return Choices(
                pipelines=distinct(sa.select(newest.c.pipeline)),
                models=distinct(sa.select(recent.c.model_id)),
                codes=distinct(sa.select(newest.c.code)),
                manufacturers=distinct(sa.select(recent.c.manufacturer)),
                scanners=distinct(sa.select(recent.c.model_name)),
                software=distinct(sa.select(recent.c.software_versions)),
            )


def _conditions(connection: sa.Connection, wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.states:
        conditions.append(cases.c.state.in_(wanted.states))
    if wanted.pipeline:
        conditions.append(cases.c.pipeline == wanted.pipeline)
    if wanted.code:
        conditions.append(cases.c.code == wanted.code)
    if wanted.since:
        conditions.append(cases.c.received_at >= wanted.since)
    if wanted.until:
        conditions.append(cases.c.received_at < wanted.until)
    if wanted.text:
        conditions.append(_named(connection, wanted.text))
    told = {
        predictions.c.model_id: wanted.model,
        predictions.c.manufacturer: wanted.manufacturer,
        predictions.c.model_name: wanted.scanner,
        predictions.c.software_versions: wanted.software,
    }
    seen = [_has(connection, column, text) for column, text in told.items() if text]
    return [*conditions, *seen]


def _named(connection: sa.Connection, text: str) -> sa.ColumnElement[bool]:
    """Return that a case's identifier begins so, or that it is of this subject."""
    begins = cases.c.case_id.startswith(text, autoescape=True)
    if connection.dialect.name == "sqlite":  # looks into no index for what begins so
        begins = (cases.c.case_id >= text) & (cases.c.case_id < text + chr(sys.maxunicode))
    of_subject = _of(predictions.c.subject_id == text)
    found = set(connection.scalars(of_subject.limit(_RARE)))
    found |= set(connection.scalars(sa.select(cases.c.case_id).where(begins).limit(_RARE)))
    if len(found) < _RARE:
        return cases.c.case_id.in_(found)
    return begins | cases.c.case_id.in_(of_subject)


def _of(condition: sa.ColumnElement[bool]) -> sa.Select[str]:
    return sa.select(predictions.c.case_id).where(condition)


def _has(connection: sa.Connection, column: sa.Column[str], text: str) -> sa.ColumnElement[bool]:
    """Return that a case has a prediction of which a column says something.

    What is rare is looked up first, and what is common is met soon, case by case: without this
    either would go through every case.
    """
    rare = list(connection.scalars(_of(column == text).limit(_RARE)))
    if len(rare) < _RARE:
        return cases.c.case_id.in_(set(rare))
    # The empty word keeps SQLite from looking for what is common in its own index, for each case.
    said = (predictions.c.case_id == cases.c.case_id) & (column.concat("") == text)
    return _of(said).correlate(cases).exists()


def _behind(place: Place) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the keyset condition; its first part alone lets an index find the beginning."""
    same = (cases.c.received_at == place.received_at) & (cases.c.case_id < place.case_id)
    return (
        cases.c.received_at <= place.received_at,
        (cases.c.received_at < place.received_at) | same,
    )
