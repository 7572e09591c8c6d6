"""What people noted of scanners, by day."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.annotation import Annotation, AnnotationKind
from clic_edge.domain.monitoring import Stratum
from clic_edge.errors import ConfigError
from clic_edge.ledger.metadata import UtcDateTime, metadata
from clic_edge.ledger.schema import audit_events
from clic_edge.ledger.sql import insert_once

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy.engine import Engine

LONGEST_TEXT: Final = 400
scanner_annotations = sa.Table(
    "scanner_annotations",
    metadata,
    sa.Column("annotation_id", sa.String(16), primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("day", sa.Date, nullable=False, index=True),
    sa.Column("manufacturer", sa.String(256), nullable=False),
    sa.Column("model_name", sa.String(256), nullable=False),
    sa.Column("software_versions", sa.String(256), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("person", sa.String(64), nullable=False),
)
_STRATUM: Final = ("manufacturer", "model_name", "software_versions")


class AnnotationStore:
    """Annotations, on any SQLAlchemy engine; none is ever overwritten."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, annotation: Annotation) -> bool:
        """Keep a note and say so in the audit trail; return whether it is new.

        Raises
        ------
        ConfigError
            ``annotation-empty``: it says nothing, too much, or nobody says it.

        """
        text, person = " ".join(annotation.text.split()), annotation.person.strip()
        if not text or not person or len(text) > LONGEST_TEXT:
            raise ConfigError(
                "annotation-empty",
                f"Say in 1 to {LONGEST_TEXT} letters what happened, and who says so.",
            )
        row = asdict(annotation) | {"text": text, "person": person}
        row |= row.pop("stratum") | {"annotation_id": annotation.annotation_id}
        with self._engine.begin() as connection:
            new = insert_once(connection, scanner_annotations, [row]) > 0
            if new:
                detail = f"{annotation.kind} of {annotation.day}, by {person}: {text}"
                event = {"at": annotation.at, "case_id": "", "action": "annotated"}
                connection.execute(audit_events.insert().values(**event, detail=detail))
        return new

    def since(self, day: date) -> tuple[Annotation, ...]:
        """Return what happened from a day on, in the order of the days."""
        columns = [scanner_annotations.c[name] for name in (*Annotation.__slots__[:2], *_STRATUM)]
        columns += [scanner_annotations.c[name] for name in ("kind", "text", "person")]
        query = sa.select(*columns).where(scanner_annotations.c.day >= day)
        with self._engine.connect() as connection:
            rows = connection.execute(
                query.order_by(scanner_annotations.c.day, scanner_annotations.c.at)
            )
            return tuple(_annotation(row) for row in rows)


def _annotation(row: sa.Row[tuple[object, ...]]) -> Annotation:
    values = dict(row._mapping)
    stratum = Stratum(**{name: values.pop(name) for name in _STRATUM})
    values["kind"] = AnnotationKind(values["kind"])
    return Annotation(stratum=stratum, **values)
