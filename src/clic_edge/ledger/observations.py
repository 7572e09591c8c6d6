"""What the monitor looks at, out of predictions, refusals and assessments; no identity in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.assessment import Verdict
from clic_edge.domain.constancy import CONSTANCY_MARK
from clic_edge.domain.feature import Feature
from clic_edge.domain.monitoring import EVERY, Observation, Stratum
from clic_edge.ledger.schema import (
    assessments,
    cases,
    prediction_features,
    predictions,
    series_refusals,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.engine import Engine

_STRATUM = {
    "input.manufacturer": "manufacturer",
    "input.model_name": "model_name",
    "input.software_versions": "software_versions",
}


class ObservationStore:
    """Observations of one model at a time, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def models(self) -> tuple[tuple[str, str, str], ...]:
        """Return id, version and digest of each model that has predicted, the newest last."""
        columns = [predictions.c[name] for name in ("model_id", "model_version", "model_digest")]
        query = sa.select(*columns).group_by(*columns)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(sa.func.max(predictions.c.created_at)))
            return tuple((row.model_id, row.model_version, row.model_digest) for row in rows)

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


_Span = tuple["datetime | None", "datetime"]
_OF_PHANTOMS = sa.select(cases.c.case_id).where(
    cases.c.pipeline.startswith(CONSTANCY_MARK, autoescape=True)
)
"""Cases of which the monitor knows nothing: what constancy makes is no patient's."""


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
        & predictions.c.case_id.not_in(_OF_PHANTOMS)
    )
    moments = sa.select(predictions.c.prediction_id, predictions.c.created_at).where(chosen)
    found = sa.select(prediction_features).join(predictions).where(chosen)
    features: dict[str, list[Feature]] = {}
    for row in connection.execute(found):
        feature = Feature(name=row.name, number=row.number, text=row.text)
        features.setdefault(row.prediction_id, []).append(feature)
    for row in connection.execute(moments):
        seen = tuple(features.get(row.prediction_id, ()))
        scanner = Stratum(**{_STRATUM[one.name]: one.text for one in seen if one.name in _STRATUM})
        yield Observation(at=row.created_at, stratum=scanner, features=seen)
        yield Observation(at=row.created_at, stratum=EVERY, features=_refused(refused=False))


def _of_refusals(
    connection: sa.Connection, model_digest: str, span: _Span
) -> Iterator[Observation]:
    query = (
        sa.select(series_refusals.c.at, series_refusals.c.withheld)
        .where(series_refusals.c.model_digest == model_digest)
        # What the site refuses is no word of the model's.
        .where(series_refusals.c.code != "model-suspended")
        .where(_within(series_refusals.c.at, span))
        .where(series_refusals.c.case_id.not_in(_OF_PHANTOMS))
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
    ours = prediction_features.alias("ours")
    volume = sa.literal("output.") + assessments.c.finding + ".volume_mm3"
    query = (
        sa.select(assessments, ours.c.number)
        .join(predictions, predictions.c.prediction_id == assessments.c.prediction_id)
        .outerjoin(
            ours,
            (ours.c.prediction_id == assessments.c.prediction_id) & (ours.c.name == volume),
        )
        .where(predictions.c.model_digest == model_digest, _within(assessments.c.at, span))
    )
    for row in connection.execute(query):
        features = [
            Feature(name="rate.overridden", number=float(row.verdict != Verdict.ACCEPTED)),
        ]
        if row.dice is not None:
            features.append(Feature(name=f"truth.{row.finding}.dice", number=row.dice))
        if row.volume_mm3 is not None and row.number is not None:
            bias = row.number - row.volume_mm3
            features.append(Feature(name=f"truth.{row.finding}.volume_bias_mm3", number=bias))
        yield Observation(at=row.at, stratum=EVERY, features=tuple(features))
