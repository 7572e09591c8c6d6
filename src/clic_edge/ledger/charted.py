"""What pages read of charts: which stand highest, and the days of some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.monitoring import ChartPoint, Direction
from clic_edge.ledger.schema import drift_points, drift_references

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date

    from sqlalchemy.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Height:
    """How near one side of a chart came to its limit."""

    chart: str
    direction: Direction
    highest: float
    """Of its sum, as a share of the limit of that day."""
    n: int
    """Points."""


class ChartedStore:
    """Bounded reads of charts, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def reference_ids(self, model_digest: str) -> tuple[str, ...]:
        """Return the ids of a model's references, oldest first, without their content."""
        columns = drift_references.c
        query = sa.select(columns.reference_id).where(columns.model_digest == model_digest)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(columns.frozen_at, columns.reference_id))
            return tuple(row.reference_id for row in rows)

    def heights(self, reference_id: str, since: date) -> tuple[Height, ...]:
        """Return how near each chart of a reference came to its limit since a day."""
        columns = drift_points.c
        share = columns.statistic / sa.func.nullif(columns.threshold, 0.0)
        query = (
            sa.select(
                columns.chart,
                columns.direction,
                sa.func.max(share).label("highest"),
                sa.func.sum(columns.n).label("n"),
            )
            .where(columns.reference_id == reference_id, columns.day >= since)
            .group_by(columns.chart, columns.direction)
        )
        with self._engine.connect() as connection:
            return tuple(
                Height(
                    chart=row.chart,
                    direction=Direction(row.direction),
                    highest=row.highest or 0.0,
                    n=row.n,
                )
                for row in connection.execute(query)
            )

    def points(
        self, reference_id: str, charts: Collection[str], since: date
    ) -> tuple[ChartPoint, ...]:
        """Return the days of some charts of a reference, by chart and day."""
        columns = drift_points.c
        query = sa.select(drift_points).where(
            columns.reference_id == reference_id,
            columns.chart.in_(list(charts)),
            columns.day >= since,
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(columns.chart, columns.direction, columns.day))
            return tuple(
                ChartPoint(
                    chart=row.chart,
                    direction=Direction(row.direction),
                    day=row.day,
                    n=row.n,
                    value=row.value,
                    statistic=row.statistic,
                    limit=row.threshold,
                )
                for row in rows
            )
