"""What models did in the shadow: how far they agreed, and what they refused or broke at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.ledger.feature_tables import feature_values
from clic_edge.ledger.features import VALUES, unpacker
from clic_edge.ledger.schema import cases, predictions, shadow_failures
from clic_edge.ledger.sql import insert_or_replace

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

_DICE, _PROBABILITY = "dice", "probability_difference"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowFailure:
    """One series on which a model in the shadow has no prediction."""

    case_id: str
    series_id: str
    model_digest: str
    code: str
    refused: bool
    """Sound, but outside what the model is for; else the model broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dice:
    """How far a model in the shadow and the active one drew the same segment."""

    case_id: str
    segment: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far the probabilities of the same category lie apart, from 0 to 1."""

    case_id: str
    category: str
    value: float


class ShadowStore:
    """What the log says of models in the shadow, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def failed(self, failure: ShadowFailure) -> None:
        """Remember that a model in the shadow has nothing to say of a series."""
        row = {name: getattr(failure, name) for name in ShadowFailure.__slots__}
        with self._engine.begin() as connection:
            insert_or_replace(connection, shadow_failures, row | {"at": datetime.now(UTC)})

    def failures(self, pipeline: str, digest: str, since: datetime) -> tuple[ShadowFailure, ...]:
        """Return what a model refused or broke at in a pipeline since a moment, by case."""
        columns = [shadow_failures.c[name] for name in ShadowFailure.__slots__]
        chosen = (shadow_failures.c.model_digest == digest) & (shadow_failures.c.at >= since)
        query = sa.select(*columns).join(cases).where(chosen, cases.c.pipeline == pipeline)
        order = (shadow_failures.c.case_id, shadow_failures.c.series_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(*order))
            return tuple(ShadowFailure(**row._mapping) for row in rows)

    def seen(self, pipeline: str, digest: str, since: datetime) -> tuple[int, int]:
        """Return of how many cases and series of a pipeline a model has a prediction."""
        made = predictions.c
        query = sa.select(
            sa.func.count(made.case_id.distinct()), sa.func.count(made.prediction_id)
        ).join(cases, made.case_id == cases.c.case_id)
        with self._engine.connect() as connection:
            row = connection.execute(query.where(*_made(pipeline, digest, since))).one()
            return int(row[0]), int(row[1])

    def agreement(self, pipeline: str, digest: str, since: datetime) -> tuple[Dice, ...]:
        """Return the Dice of each segment and case since a moment, the least alike first."""
        found = self._compared(_DICE, _made(pipeline, digest, since))
        return tuple(
            Dice(case_id=case_id, segment=name, value=value)
            for value, case_id, name in sorted(found)
        )

    def differences(self, pipeline: str, digest: str, since: datetime) -> tuple[Difference, ...]:
        """Return how far probabilities of each category and case lie apart, the farthest first."""
        found = self._compared(_PROBABILITY, _made(pipeline, digest, since))
        apart = sorted((-abs(value), case_id, name) for value, case_id, name in found)
        return tuple(
            Difference(case_id=case_id, category=name, value=-value)
            for value, case_id, name in apart
        )

    def _compared(
        self, what: str, where: tuple[sa.ColumnElement[bool], ...]
    ) -> list[tuple[float, str, str]]:
        """Return value, case and name of each feature ``agreement.NAME.WHAT``."""
        query = (
            sa.select(*[predictions.c.case_id, *VALUES])
            .join(feature_values, feature_values.c.prediction_id == predictions.c.prediction_id)
            .join(cases, predictions.c.case_id == cases.c.case_id)
            .where(*where)
        )
        begin, end = "agreement.", f".{what}"
        with self._engine.connect() as connection:
            unpack = unpacker(connection)
            return [
                (one.number, row.case_id, one.name.removeprefix(begin).removesuffix(end))
                for row in connection.execute(query)
                for one in unpack(row)
                if one.number is not None and one.name.startswith(begin) and one.name.endswith(end)
            ]


def _made(pipeline: str, digest: str, since: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        predictions.c.model_digest == digest,
        predictions.c.created_at >= since,
        cases.c.pipeline == pipeline,
    )
