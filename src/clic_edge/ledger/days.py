"""A feature's days: what is left of features when they are pruned, and years are charted by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import sqlalchemy as sa

from clic_edge.domain.monitoring import Stratum
from clic_edge.ledger.feature_tables import feature_days
from clic_edge.ledger.features import FeatureStore
from clic_edge.ledger.schema import predictions
from clic_edge.ledger.sql import insert_or_replace_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from clic_edge.domain.feature_table import FeatureTable

_DAY: Final = timedelta(days=1)
_AGAIN: Final = 2
"""Days that are written again: what was logged late comes into them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDay:
    """The numbers of a feature on one day and scanner, in the feature's unit."""

    day: date
    """In UTC."""
    stratum: Stratum
    n: int
    mean: float
    sd: float
    """0 of a single one."""
    low: float
    """5th percentile."""
    median: float
    high: float
    """95th percentile."""


class FeatureDayStore:
    """Rollups by day, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def roll(self, model_digest: str, *, until: date, most: int = 0) -> bool:
        """Write the days of a model up to before `until`, going on where it ended.

        At most so many days on which it predicted, where `most` is given; return whether all are
        written. A day that was written is never written again with less: its features may be pruned.
        """
        day = self._seen(model_digest, self._begin(model_digest))
        left = most + _AGAIN
        while day is not None and day < until:
            if most and not left:
                return False
            self._write(model_digest, day)
            left -= 1
            day = self._seen(model_digest, day + _DAY)
        return True

    def _begin(self, model_digest: str) -> date:
        rolled = sa.select(sa.func.max(feature_days.c.day))
        with self._engine.connect() as connection:
            last: date | None = connection.scalar(
                rolled.where(feature_days.c.model_digest == model_digest)
            )
        return date.min if last is None else last - _AGAIN * _DAY

    def _seen(self, model_digest: str, day: date) -> date | None:
        """Return the first day from `day` on of which there is a prediction."""
        columns = predictions.c
        first = sa.select(sa.func.min(columns.created_at)).where(
            columns.model_digest == model_digest, columns.created_at >= _midnight(day)
        )
        with self._engine.connect() as connection:
            at: datetime | None = connection.scalar(first)
        return None if at is None else at.date()

    def _write(self, model_digest: str, day: date) -> None:
        begin = _midnight(day)
        table = FeatureStore(self._engine).table(
            model_digest,
            after=begin - timedelta(microseconds=1),
            until=begin + _DAY - timedelta(microseconds=1),
        )
        key = {"model_digest": model_digest, "day": day}
        rows = [key | it for it in _rows(table)]
        with self._engine.begin() as connection:
            insert_or_replace_all(connection, feature_days, rows, growing="n")

    def of_feature(self, model_digest: str, name: str, *, since: date) -> tuple[FeatureDay, ...]:
        """Return the days of a feature, oldest first, by scanner; what has ended, and no today."""
        columns = feature_days.c
        query = sa.select(feature_days).where(
            columns.model_digest == model_digest, columns.name == name, columns.day >= since
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(columns.day, columns.model_name)).all()
        return tuple(
            FeatureDay(
                day=row.day,
                stratum=Stratum(**{one: row._mapping[one] for one in Stratum.__slots__}),
                n=row.n,
                mean=row.mean,
                sd=row.sd,
                low=row.low,
                median=row.median,
                high=row.high,
            )
            for row in rows
        )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _rows(table: FeatureTable) -> Iterator[dict[str, object]]:
    scanners = np.array([str(one) for one in table.strata], dtype=object)
    for stratum in sorted(set(table.strata), key=str):
        own = scanners == str(stratum)
        told = {name: getattr(stratum, name) for name in Stratum.__slots__}
        for name, values in table.numbers:
            kept = values[own & np.isfinite(values)]
            if kept.size:
                yield told | {"name": name} | _summary(kept)


def _summary(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> dict[str, object]:
    low, median, high = (float(one) for one in np.percentile(values, (5, 50, 95)))
    with np.errstate(over="ignore"):  # near a float's end, the spread is beyond it
        mean, sd = float(np.mean(values)), float(np.std(values))
    return {
        "n": int(values.size),
        "mean": mean,
        "sd": sd,
        "low": low,
        "median": median,
        "high": high,
    }
