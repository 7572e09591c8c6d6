"""What pages read of a model's work: how much, how fast, and how much of it came to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.case import CaseState
from clic_edge.domain.constancy import CONSTANCY_MARK
from clic_edge.domain.standing import STOPPED_CODES
from clic_edge.ledger.feature_tables import truths
from clic_edge.ledger.schema import (
    assessments,
    cases,
    predictions,
    series_refusals,
    stage_seconds,
)

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.engine import Engine


_PHANTOMS = sa.select(cases.c.case_id).where(
    cases.c.pipeline.startswith(CONSTANCY_MARK, autoescape=True)
)
"""Cases of constancy: no patient waits for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one model did in one pipeline."""

    studies: int
    """Of which it predicted something."""
    refused: int
    """Series."""
    failed: int
    """Series."""
    times: tuple[timedelta, ...]
    """From a study's arrival to its delivery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """How long a stage of one case took."""

    at: datetime
    """Of the prediction."""
    stage: str
    seconds: float


class TrafficStore:
    """Bounded reads of a model's work, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def work(self, pipeline: str, digest: str, since: datetime) -> Work:
        """Return what a model did since a moment."""
        made = predictions.c
        seen = (
            sa.select(cases.c.case_id, cases.c.state, cases.c.received_at, cases.c.updated_at)
            .join(predictions, made.case_id == cases.c.case_id)
            .where(made.created_at >= since, made.model_digest == digest)
            .where(cases.c.pipeline == pipeline)
            .distinct()
        )
        refusals = (
            sa.select(series_refusals.c.withheld, sa.func.count().label("n"))
            .join(cases, series_refusals.c.case_id == cases.c.case_id)
            .where(series_refusals.c.at >= since, series_refusals.c.model_digest == digest)
            .where(cases.c.pipeline == pipeline, series_refusals.c.code.not_in(STOPPED_CODES))
            .group_by(series_refusals.c.withheld)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(seen).all()
            counts = {bool(row.withheld): int(row.n) for row in connection.execute(refusals)}
        return Work(
            studies=len(rows),
            refused=counts.get(False, 0),
            failed=counts.get(True, 0),
            times=tuple(
                row.updated_at - row.received_at for row in rows if row.state == CaseState.DELIVERED
            ),
        )

    def newest(self, digest: str, since: datetime, *, most: int) -> datetime | None:
        """Return after which moment lie a model's newest predictions, at most so many of them.

        None where there are none since a moment.
        """
        made = predictions.c
        query = sa.select(made.created_at).where(
            made.model_digest == digest, made.created_at > since
        )
        return self._cut(query, made.created_at, since, most=most)

    def newest_words(self, digest: str, since: datetime, *, most: int) -> datetime | None:
        """Return as `newest` of what readers said of a model's predictions."""
        query = (
            sa.select(assessments.c.at)
            .join(predictions, assessments.c.prediction_id == predictions.c.prediction_id)
            .where(predictions.c.model_digest == digest, assessments.c.at > since)
        )
        return self._cut(query, assessments.c.at, since, most=most)

    def judged(self, digest: str, after: datetime) -> tuple[str, ...]:
        """Return the findings of a model of which the truth is known for something it said."""
        made = predictions.c
        query = (
            sa.select(truths.c.finding)
            .join(predictions, made.case_id == truths.c.case_id)
            .where(made.model_digest == digest, made.created_at > after)
        )
        with self._engine.connect() as connection:
            return tuple(connection.scalars(query.distinct().order_by(truths.c.finding)))

    def _cut(
        self,
        query: sa.Select[datetime],
        column: sa.ColumnElement[datetime],
        since: datetime,
        *,
        most: int,
    ) -> datetime | None:
        newest = query.order_by(column.desc())
        with self._engine.connect() as connection:
            if connection.scalar(newest.limit(1)) is None:
                return None
            return connection.scalar(newest.offset(most).limit(1)) or since

    def stage_times(self, digest: str, after: datetime) -> tuple[StageTime, ...]:
        """Return how long each stage of a model's cases took, after a moment."""
        made = predictions.c
        of_case = (
            sa.select(made.case_id, sa.func.min(made.created_at).label("at"))
            .where(made.model_digest == digest, made.created_at > after)
            .where(made.case_id.not_in(_PHANTOMS))
            .group_by(made.case_id)
            .subquery()
        )
        query = sa.select(of_case.c.at, stage_seconds.c.stage, stage_seconds.c.seconds).join(
            stage_seconds, stage_seconds.c.case_id == of_case.c.case_id
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(of_case.c.at))
            return tuple(StageTime(at=row.at, stage=row.stage, seconds=row.seconds) for row in rows)
