"""Tables as they leave for other programs, row by row: no identity, no handle, no unkeyed digest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.ledger.feature_tables import feature_days, truths
from clic_edge.ledger.features import FeatureStore
from clic_edge.ledger.predictions import PredictionStore
from clic_edge.ledger.schema import (
    assessments,
    audit_events,
    cases,
    drift_acknowledgements,
    drift_alarms,
    drift_points,
    predictions,
    series_refusals,
    stage_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.engine import Engine

_AT_A_TIME: Final = 1000


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    NUMBER = "number"
    COUNT = "count"
    FLAG = "flag"
    DAY = "day"
    MOMENT = "moment"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportColumn:
    """One column of a file."""

    name: str
    kind: Kind


_LEFT_OUT: Final = {
    # An archive's handles and the study's digest are made of the patient's identifiers, unkeyed.
    cases: {"study_id", "series_ids", "study_digest"},
    series_refusals: {"series_id"},
}
_MOMENT: Final = {
    cases: cases.c.received_at,
    assessments: assessments.c.at,
    truths: truths.c.at,
    series_refusals: series_refusals.c.at,
    drift_alarms: drift_alarms.c.opened_at,
    drift_acknowledgements: drift_acknowledgements.c.at,
    audit_events: audit_events.c.at,
}
_PLAIN: Final = {
    "cases": cases,
    "assessments": assessments,
    "truths": truths,
    "refusals": series_refusals,
    "stages": stage_seconds,
    "days": feature_days,
    "points": drift_points,
    "alarms": drift_alarms,
    "acknowledgements": drift_acknowledgements,
    "audit": audit_events,
}
TABLES: Final = ("predictions", *_PLAIN)
_OF_PREDICTION: Final = (
    *("created_at", "prediction_id", "case_id", "subject_id", "series_uid"),
    *("model_id", "model_version", "model_digest", "device"),
)


class ExportStore:
    """Reads whole tables with few rows in memory, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def columns(self, table: str) -> tuple[ExportColumn, ...]:
        """Return the columns of one of `TABLES`; of predictions with every feature there is."""
        if table == "predictions":
            names = FeatureStore(self._engine).names()
            words = set(names.words)
            return (
                *(_column(predictions.c[name]) for name in _OF_PREDICTION),
                *(
                    ExportColumn(name=name, kind=Kind.TEXT if name in words else Kind.NUMBER)
                    for name in sorted(words | set(names.numbers))
                ),
            )
        return tuple(_column(one) for one in _chosen(_PLAIN[table]))

    def rows(self, table: str, since: datetime) -> Iterator[tuple[object, ...]]:
        """Yield the rows since a moment, in the order of the columns; what has no moment, all of it."""
        if table == "predictions":
            yield from self._predictions(since)
            return
        own = _PLAIN[table]
        query = sa.select(*_chosen(own)).order_by(*own.primary_key)
        if own in _MOMENT:
            query = query.where(_MOMENT[own] >= since)
        with self._engine.connect() as connection:
            streamed = connection.execution_options(yield_per=_AT_A_TIME)
            for row in streamed.execute(query):
                yield tuple(row)

    def _predictions(self, since: datetime) -> Iterator[tuple[object, ...]]:
        columns = self.columns("predictions")[len(_OF_PREDICTION) :]
        for one in PredictionStore(self._engine).each(since):
            told = {it.name: it for it in one.features}
            values = (
                None
                if (it := told.get(column.name)) is None
                else (it.text if column.kind is Kind.TEXT else it.number)
                for column in columns
            )
            yield (*(getattr(one, name) for name in _OF_PREDICTION), *values)


def _chosen(table: sa.Table) -> list[sa.Column[object]]:
    left_out = _LEFT_OUT.get(table, set())
    return [column for column in table.columns if column.name not in left_out]


def _column(column: sa.Column[object]) -> ExportColumn:
    kinds = {
        sa.Boolean: Kind.FLAG,
        sa.Integer: Kind.COUNT,
        sa.Float: Kind.NUMBER,
        sa.Date: Kind.DAY,
    }
    found = (kind for type_, kind in kinds.items() if isinstance(column.type, type_))
    is_moment = isinstance(column.type, sa.TypeDecorator)
    return ExportColumn(name=column.name, kind=Kind.MOMENT if is_moment else next(found, Kind.TEXT))
