"""Result objects and the receipts that destinations gave for them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from clic_edge.domain.result import Receipt, ResultKind
from clic_edge.errors import Defect
from clic_edge.ledger.schema import receipts, result_objects
from clic_edge.ledger.sql import insert_once, insert_or_replace

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from clic_edge.domain.result import ResultObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """A result object as the ledger knows it: its UID and digest, never its content."""

    sop_instance_uid: str
    kind: ResultKind
    digest: str


class DeliveryStore:
    """Result objects and receipts, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, case_id: str, results: tuple[ResultObject, ...]) -> None:
        """Remember what a case produced; recording the same again changes nothing.

        Raises
        ------
        Defect
            ``result-not-repeatable``: the same UID came with other bytes before.

        """
        with self._engine.begin() as connection:
            for result in results:
                digest = hashlib.sha256(result.content).hexdigest()
                row = {
                    "sop_instance_uid": result.sop_instance_uid,
                    "case_id": case_id,
                    "kind": result.kind,
                    "digest": digest,
                }
                if insert_once(connection, result_objects, [row]):
                    continue
                query = sa.select(result_objects.c.digest)
                uid = result_objects.c.sop_instance_uid == result.sop_instance_uid
                if connection.scalar(query.where(uid)) != digest:
                    raise Defect(
                        "result-not-repeatable",
                        f"The {result.kind} was written again with other content; "
                        "nothing was sent twice.",
                    )

    def results(self, case_id: str) -> tuple[ResultRow, ...]:
        """Return the result objects of a case, by kind and UID."""
        query = sa.select(result_objects).where(result_objects.c.case_id == case_id)
        order = (result_objects.c.kind, result_objects.c.sop_instance_uid)
        with self._engine.connect() as connection:
            return tuple(
                ResultRow(
                    sop_instance_uid=row.sop_instance_uid,
                    kind=ResultKind(row.kind),
                    digest=row.digest,
                )
                for row in connection.execute(query.order_by(*order))
            )

    def receive(self, given: tuple[Receipt, ...]) -> None:
        """Remember a destination's answers; the newest answer for an object counts."""
        with self._engine.begin() as connection:
            for receipt in given:
                row = {name: getattr(receipt, name) for name in Receipt.__slots__}
                insert_or_replace(connection, receipts, row | {"received_at": datetime.now(UTC)})

    def receipts(self, case_id: str) -> tuple[Receipt, ...]:
        """Return the newest answer of each destination for each object of a case."""
        columns = [receipts.c[name] for name in Receipt.__slots__]
        query = (
            sa.select(*columns)
            .join(result_objects)
            .where(result_objects.c.case_id == case_id)
            .order_by(receipts.c.destination, receipts.c.sop_instance_uid)
        )
        with self._engine.connect() as connection:
            return tuple(Receipt(**row._mapping) for row in connection.execute(query))
