"""What the monitor looks at, out of predictions, refusals and assessments; no identity in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.assessment import Verdict
from clic_edge.domain.feature import Feature
from clic_edge.domain.monitoring import EVERY, Observation, Stratum
from clic_edge.domain.standing import STOPPED_CODES
from clic_edge.ledger.feature_tables import feature_values
from clic_edge.ledger.features import VALUES, embedding_in, unpacker, unwatched
from clic_edge.ledger.schema import assessments, predictions, series_refusals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.engine import Engine


class ObservationStore:
    """Observations of one model at a time, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def models(self) -> tuple[tuple[str, str, str], ...]:
        """Return id, version and digest of each model that has predicted, the newest last."""
        with self._engine.connect() as connection:
            found = [_newest(connection, digest) for digest in _digests(connection)]
        found.sort(key=lambda row: row.created_at)
        return tuple((row.model_id, row.model_version, row.model_digest) for row in found)

    def ahead_of(self, moment: datetime) -> int:
        """Return how many predictions were made after a moment: of now, by a clock that jumped."""
        query = sa.select(sa.func.count()).where(predictions.c.created_at > moment)
        with self._engine.connect() as connection:
            return connection.scalar(query) or 0

    def of_model(
        self, model_digest: str, *, after: datetime | None, until: datetime
    ) -> tuple[Observation, ...]:
        """Return what is known of a model after a moment, up to another, in order.

        A prediction is one observation of its scanner, and one of all scanners: a series that was
        not refused. A refusal and a reader's word are observations of all scanners.
        """
        with self._engine.connect() as connection:
            found = [
                *_of_predictions(connection, model_digest, (after, until)),
                *_of_refusals(connection, model_digest, (after, until)),
                *_of_assessments(connection, model_digest, (after, until)),
            ]
        return tuple(sorted(found, key=lambda one: one.at))


def _digests(connection: sa.Connection) -> tuple[str, ...]:
    """Return the digests of all models, each found by one look into the index."""
    digest = predictions.c.model_digest
    first = sa.select(sa.func.min(digest).label("digest")).cte("models", recursive=True)
    following = sa.select(sa.func.min(digest)).where(digest > first.c.digest).scalar_subquery()
    each = first.union_all(sa.select(following).where(first.c.digest.is_not(None)))
    return tuple(connection.scalars(sa.select(each.c.digest).where(each.c.digest.is_not(None))))


def _newest(connection: sa.Connection, digest: str) -> sa.Row[tuple[object, ...]]:
    names = ("model_id", "model_version", "model_digest", "created_at")
    query = sa.select(*(predictions.c[name] for name in names))
    own = query.where(predictions.c.model_digest == digest)
    return connection.execute(own.order_by(predictions.c.created_at.desc()).limit(1)).one()


_Span = tuple["datetime | None", "datetime"]


def _within(column: sa.ColumnElement[datetime], span: _Span) -> sa.ColumnElement[bool]:
    after, until = span
    upper = column <= until
    return upper if after is None else upper & (column > after)


def _of_predictions(
    connection: sa.Connection, model_digest: str, span: _Span
) -> Iterator[Observation]:
    chosen = (
        (predictions.c.model_digest == model_digest)
        & _within(predictions.c.created_at, span)
        & ~unwatched(predictions.c.case_id)
    )
    own = [predictions.c[name] for name in ("created_at", *Stratum.__slots__)]
    query = sa.select(*[*own, *VALUES, feature_values.c.embedding]).join(feature_values)
    unpack = unpacker(connection)
    for row in connection.execute(query.where(chosen)):
        stratum = Stratum(**{name: row._mapping[name] for name in Stratum.__slots__})
        yield Observation(
            at=row.created_at,
            stratum=stratum,
            features=unpack(row),
            embedding=embedding_in(row.embedding),
        )
        yield Observation(at=row.created_at, stratum=EVERY, features=_refused(refused=False))


def _of_refusals(
    connection: sa.Connection, model_digest: str, span: _Span
) -> Iterator[Observation]:
    query = (
        sa.select(series_refusals.c.at, series_refusals.c.withheld)
        .where(series_refusals.c.model_digest == model_digest)
        .where(series_refusals.c.code.not_in(STOPPED_CODES))
        .where(_within(series_refusals.c.at, span))
        .where(~unwatched(series_refusals.c.case_id))
    )
    for row in connection.execute(query):
        features = _refused(refused=not row.withheld, failed=row.withheld)
        yield Observation(at=row.at, stratum=EVERY, features=features)


def _refused(*, refused: bool, failed: bool = False) -> tuple[Feature, ...]:
    return (
        Feature(name="rate.refused", number=float(refused)),
        Feature(name="rate.failed", number=float(failed)),
    )


def _of_assessments(
    connection: sa.Connection, model_digest: str, span: _Span
) -> Iterator[Observation]:
    query = (
        sa.select(*[*assessments.c, *VALUES])
        .join(predictions, predictions.c.prediction_id == assessments.c.prediction_id)
        .outerjoin(feature_values, feature_values.c.prediction_id == assessments.c.prediction_id)
        .where(predictions.c.model_digest == model_digest, _within(assessments.c.at, span))
    )
    unpack = unpacker(connection)
    for row in connection.execute(query):
        volume = f"output.{row.finding}.volume_mm3"
        number = next((one.number for one in unpack(row) if one.name == volume), None)
        features = [
            Feature(name="rate.overridden", number=float(row.verdict != Verdict.ACCEPTED)),
        ]
        if row.dice is not None:
            features.append(Feature(name=f"truth.{row.finding}.dice", number=row.dice))
        if row.volume_mm3 is not None and number is not None:
            bias = number - row.volume_mm3
            features.append(Feature(name=f"truth.{row.finding}.volume_bias_mm3", number=bias))
        yield Observation(at=row.at, stratum=EVERY, features=tuple(features))
