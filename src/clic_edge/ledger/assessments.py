"""What readers say of results, beside the predictions that they say it of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.assessment import Assessment, Reason, Source, Verdict
from clic_edge.ledger.schema import assessments, audit_events
from clic_edge.ledger.sql import insert_once

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.engine import Engine


class AssessmentStore:
    """Assessments, on any SQLAlchemy engine; none is ever overwritten."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, given: Iterable[Assessment], *, by: str = "") -> int:
        """Remember assessments and return how many say something new of their reader and finding.

        The same answer given twice is one; another answer stands beside the earlier one.
        """
        new = 0
        with self._engine.begin() as connection:
            for one in given:
                if _says_the_same(_newest(connection, one), one):
                    continue
                if not insert_once(connection, assessments, [_row(one)]):
                    continue
                new += 1
                detail = f"{one.finding}: {one.verdict}" + (f", {one.reason}" if one.reason else "")
                connection.execute(
                    audit_events.insert().values(
                        at=one.at, case_id=one.case_id, action="assessed", detail=detail, person=by
                    )
                )
        return new

    def is_new(self, given: Iterable[Assessment]) -> bool:
        """Whether any of them says something that its reader's last word does not."""
        with self._engine.connect() as connection:
            return any(not _says_the_same(_newest(connection, one), one) for one in given)

    def of_case(self, case_id: str) -> tuple[Assessment, ...]:
        """Return every assessment of a case, oldest first."""
        return self._select(assessments.c.case_id == case_id)

    def since(self, moment: datetime) -> tuple[Assessment, ...]:
        """Return every assessment since a moment, oldest first."""
        return self._select(assessments.c.at >= moment)

    def _select(self, where: sa.ColumnElement[bool]) -> tuple[Assessment, ...]:
        query = sa.select(assessments).where(where)
        order = (assessments.c.at, assessments.c.finding)
        with self._engine.connect() as connection:
            return tuple(_assessment(row) for row in connection.execute(query.order_by(*order)))


def standing(given: Iterable[Assessment]) -> tuple[Assessment, ...]:
    """Return the last word of each reader on each finding, in the order in which it came."""
    last: dict[tuple[str, str, str], Assessment] = {}
    for one in given:
        last.pop(key := (one.prediction_id, one.finding, one.reader), None)
        last[key] = one
    return tuple(last.values())


def _row(one: Assessment) -> dict[str, object]:
    row = {name: getattr(one, name) for name in Assessment.__slots__}
    named = (one.prediction_id, one.finding, one.reader, one.source, one.at.isoformat())
    key = hashlib.sha256("\n".join(named).encode()).hexdigest()[:32]
    return row | {"reason": one.reason or "", "assessment_id": key}


def _newest(connection: sa.Connection, one: Assessment) -> Assessment | None:
    query = (
        sa.select(assessments)
        .where(
            assessments.c.prediction_id == one.prediction_id,
            assessments.c.finding == one.finding,
            assessments.c.reader == one.reader,
        )
        .order_by(assessments.c.at.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return _assessment(row) if row else None


def _says_the_same(known: Assessment | None, new: Assessment) -> bool:
    said = ("verdict", "reason", "source", "dice", "volume_mm3")
    return known is not None and all(getattr(known, one) == getattr(new, one) for one in said)


def _assessment(row: sa.Row[tuple[object, ...]]) -> Assessment:
    values = dict(row._mapping)
    del values["assessment_id"]
    values["verdict"] = Verdict(values["verdict"])
    values["source"] = Source(values["source"])
    values["reason"] = Reason(values["reason"]) if values["reason"] else None
    return Assessment(**values)
