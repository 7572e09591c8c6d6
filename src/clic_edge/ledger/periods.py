"""What a report reads of a span of time: a model's cases, refusals, readers' words, features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.assessment import Assessment, Reason, Source, Verdict
from clic_edge.domain.case import CaseState
from clic_edge.domain.constancy import CONSTANCY_MARK
from clic_edge.ledger.feature_tables import feature_values
from clic_edge.ledger.features import VALUES, unpacker
from clic_edge.ledger.schema import (
    assessments,
    cases,
    predictions,
    series_refusals,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from clic_edge.domain.feature import Feature


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From a moment to before another."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CameIn:
    """A case that was received, and where it is now."""

    case_id: str
    pipeline: str
    state: CaseState
    code: str
    received_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeCount:
    """How many series were refused for a reason, or broke the model (`failed`)."""

    code: str
    failed: bool
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """A reader's word, with the volume that the model had found."""

    assessment: Assessment
    ours_mm3: float | None


class PeriodStore:
    """Reads of one model and span, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def versions(self, span: Span) -> tuple[tuple[str, str, str], ...]:
        """Return id, version and digest of each model that predicted, in the order of their ids."""
        names = ("model_id", "model_version", "model_digest")
        columns = [predictions.c[name] for name in names]
        made = _in(predictions.c.created_at, span) & ~_OF_PHANTOM
        query = sa.select(*columns).where(made).distinct()
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(*columns))
            return tuple((row.model_id, row.model_version, row.model_digest) for row in rows)

    def cases(self, span: Span) -> tuple[CameIn, ...]:
        """Return the cases that were received, oldest first."""
        columns = [cases.c[name] for name in CameIn.__slots__]
        query = sa.select(*columns).where(
            _in(cases.c.received_at, span), cases.c.case_id.not_in(_PHANTOMS)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(cases.c.received_at, cases.c.case_id))
            return tuple(
                CameIn(**dict(row._mapping) | {"state": CaseState(row.state)}) for row in rows
            )

    def touched(self, digest: str, span: Span) -> frozenset[str]:
        """Return the cases of which a model predicted something, or refused it."""
        own = predictions.c
        seen = sa.select(own.case_id).where(own.model_digest == digest, _in(own.created_at, span))
        said = series_refusals.c
        refused = sa.select(said.case_id).where(said.model_digest == digest, _in(said.at, span))
        with self._engine.connect() as connection:
            return frozenset(connection.scalars(sa.union(seen, refused)))

    def analysed(self, digest: str, span: Span) -> int:
        """Return how many series or images a model has predicted."""
        own = (predictions.c.model_digest == digest) & _in(predictions.c.created_at, span)
        own &= ~_OF_PHANTOM
        query = sa.select(sa.func.count()).select_from(predictions).where(own)
        with self._engine.connect() as connection:
            return connection.scalar(query) or 0

    def refusals(self, digest: str, span: Span) -> tuple[CodeCount, ...]:
        """Return why a model refused series, or broke at them, the commonest first."""
        said = series_refusals.c
        query = (
            sa.select(said.code, said.withheld, sa.func.count().label("n"))
            .where(said.model_digest == digest, _in(said.at, span))
            .where(said.case_id.not_in(_PHANTOMS))
            .group_by(said.code, said.withheld)
            .order_by(sa.desc("n"), said.code)
        )
        with self._engine.connect() as connection:
            return tuple(
                CodeCount(code=row.code, failed=bool(row.withheld), count=row.n)
                for row in connection.execute(query)
            )

    def assessed(self, digest: str, span: Span) -> tuple[Assessed, ...]:
        """Return what readers said of a model's predictions, oldest first."""
        own = predictions.c
        query = (
            sa.select(*[*assessments.c, *VALUES])
            .join(predictions, own.prediction_id == assessments.c.prediction_id)
            .outerjoin(feature_values, feature_values.c.prediction_id == own.prediction_id)
            .where(own.model_digest == digest, _in(assessments.c.at, span))
            .order_by(assessments.c.at, assessments.c.finding)
        )
        with self._engine.connect() as connection:
            unpack = unpacker(connection)
            return tuple(_assessed(row, unpack(row)) for row in connection.execute(query))

    def phantoms(self, digest: str, span: Span) -> frozenset[str]:
        """Return the predictions of a model that are of constancy's phantoms, by their ids."""
        own = predictions.c
        chosen = (own.model_digest == digest) & _in(own.created_at, span) & _OF_PHANTOM
        with self._engine.connect() as connection:
            return frozenset(connection.scalars(sa.select(own.prediction_id).where(chosen)))


_PHANTOMS = sa.select(cases.c.case_id).where(
    cases.c.pipeline.startswith(CONSTANCY_MARK, autoescape=True)
)
_OF_PHANTOM = predictions.c.case_id.in_(_PHANTOMS)
"""What constancy makes is no patient's, and is not counted with them."""


def _in(column: sa.ColumnElement[datetime], span: Span) -> sa.ColumnElement[bool]:
    return (column >= span.since) & (column < span.until)


def _assessed(row: sa.Row[tuple[object, ...]], features: tuple[Feature, ...]) -> Assessed:
    values = {name: row._mapping[name] for name in Assessment.__slots__}
    volume = f"output.{values['finding']}.volume_mm3"
    values |= {
        "verdict": Verdict(values["verdict"]),
        "source": Source(values["source"]),
        "reason": Reason(values["reason"]) if values["reason"] else None,
    }
    ours = next((one.number for one in features if one.name == volume), None)
    return Assessed(assessment=Assessment(**values), ours_mm3=ours)
