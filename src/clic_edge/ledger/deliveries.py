"""What a case says: refusals, result objects, and the receipts that destinations gave."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.case import CaseState
from clic_edge.domain.result import Receipt, ResultKind, ResultReference, SeriesRefusal
from clic_edge.errors import ConfigError, Defect
from clic_edge.ledger.records import AuditEvent, note_event
from clic_edge.ledger.schema import (
    cases,
    predictions,
    receipts,
    result_objects,
    series_refusals,
)
from clic_edge.ledger.sql import insert_once, insert_or_replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Engine

    from clic_edge.domain.result import ResultObject


AGAIN: Final = "to be sent again"
"""Status of what a destination has lost, until it has answered anew."""
SENT_AGAIN: Final = "sent again: "
"""Before the status of what a destination had accepted once, and refused when it was sent anew."""
NOT_SENT: Final = "not sent again: "
"""Before the code of what kept us from sending anew what a destination had accepted once."""
_ONCE_TAKEN = (SENT_AGAIN, NOT_SENT)
_LONGEST_STATUS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow(ResultReference):
    """A result object as the ledger knows it: never its content."""

    digest: str
    """SHA-256 of the content."""
    prediction_id: str | None
    """The prediction that it tells of; None where it tells of the whole case."""


class DeliveryStore:
    """Refusals, result objects and receipts, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def refuse(self, case_id: str, refusal: SeriesRefusal, *, model_digest: str) -> None:
        """Remember why a model was not run on a series."""
        row = {name: getattr(refusal, name) for name in SeriesRefusal.__slots__}
        row |= {"at": datetime.now(UTC)}
        with self._engine.begin() as connection:
            key = {"case_id": case_id, "model_digest": model_digest}
            insert_or_replace(connection, series_refusals, key | row)

    def forgive(self, case_id: str, series_id: str, *, image: int = 0) -> None:
        """Forget why a series or an image of it was refused: another model has analysed it since."""
        row = (series_refusals.c.case_id == case_id) & (series_refusals.c.series_id == series_id)
        if image:  # the others of the series may be refused still
            row &= series_refusals.c.image.in_([0, image])
        with self._engine.begin() as connection:
            connection.execute(series_refusals.delete().where(row))

    def refusals(self, case_id: str, model_digest: str | None = None) -> tuple[SeriesRefusal, ...]:
        """Return what is refused of a case, by series; with a digest, for this model only."""
        columns = [series_refusals.c[name] for name in SeriesRefusal.__slots__]
        query = sa.select(*columns).where(series_refusals.c.case_id == case_id)
        if model_digest is not None:
            query = query.where(series_refusals.c.model_digest == model_digest)
        with self._engine.connect() as connection:
            order = (series_refusals.c.series_id, series_refusals.c.image)
            rows = connection.execute(query.order_by(*order))
            return tuple(SeriesRefusal(**row._mapping) for row in rows)

    def record(
        self,
        case_id: str,
        results: tuple[ResultObject, ...],
        *,
        told_of: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Remember what a case produced; recording the same again changes nothing.

        `told_of` gives the prediction of those results that tell of one, by SOP Instance UID.

        Raises
        ------
        Defect
            ``result-not-repeatable``: the same UID came with other bytes before.

        """
        rows = [
            {name: getattr(one, name) for name in ResultReference.__slots__}
            | {"case_id": case_id, "digest": hashlib.sha256(one.content).hexdigest()}
            | {"current": True, "prediction_id": told_of.get(one.sop_instance_uid)}
            for one in results  # before the transaction: all other writers would wait
        ]
        with self._engine.begin() as connection:
            for row in rows:
                if insert_once(connection, result_objects, [row]):
                    continue
                query = sa.select(result_objects.c.digest)
                known = result_objects.c.sop_instance_uid == row["sop_instance_uid"]
                if connection.scalar(query.where(known)) != row["digest"]:
                    raise Defect(
                        "result-not-repeatable",
                        f"The {row['kind']} was written again with other content; "
                        "nothing was sent twice.",
                    )
                connection.execute(result_objects.update().where(known).values(current=True))

    def results(self, case_id: str) -> tuple[ResultRow, ...]:
        """Return what a case says now, by kind and UID."""
        own = (result_objects.c.case_id == case_id) & result_objects.c.current
        with self._engine.connect() as connection:
            return _rows(connection, own)

    def models(self, case_id: str) -> frozenset[str]:
        """Return the digests of the models whose findings the case tells of now."""
        own = (result_objects.c.case_id == case_id) & result_objects.c.current
        query = sa.select(predictions.c.model_digest).join(
            result_objects, predictions.c.prediction_id == result_objects.c.prediction_id
        )
        with self._engine.connect() as connection:
            return frozenset(connection.scalars(query.where(own).distinct()))

    def set_aside(self, case_id: str) -> None:
        """Let the next run of a case say anew what it finds: nothing that it said counts."""
        with self._engine.begin() as connection:
            set_aside(connection, case_id)

    def is_ours(self, sop_instance_uid: str) -> bool:
        """Whether an object is a result of ours, of whichever case and whatever became of it."""
        query = sa.select(sa.literal(1)).where(
            result_objects.c.sop_instance_uid == sop_instance_uid
        )
        with self._engine.connect() as connection:
            return connection.scalar(query) is not None

    def replaced(self, case_id: str) -> tuple[ResultRow, ...]:
        """Return what a destination accepted of earlier, and the case now takes the place of.

        That is what its own earlier runs said, and the cases that it supersedes, back to the
        first. What readers said of them stays, and so do rejection notes.
        """
        with self._engine.connect() as connection:
            earlier = _superseded_by(connection, case_id)
            is_old = result_objects.c.case_id.in_(earlier) | (
                (result_objects.c.case_id == case_id) & ~result_objects.c.current
            )
            return _rows(connection, is_old & WAS_TAKEN & ~_STAYS)

    def taken_back(self, case_id: str) -> int:
        """Return how many rejection notes of a case's earlier runs a destination accepted."""
        notes = (
            (result_objects.c.case_id == case_id)
            & (result_objects.c.kind == ResultKind.REJECTION)
            & ~result_objects.c.current
            & _receipt_of_it(receipts.c.accepted)
        )
        with self._engine.connect() as connection:
            count = sa.select(sa.func.count()).select_from(result_objects).where(notes)
            return connection.scalar(count) or 0

    def receive(self, given: tuple[Receipt, ...]) -> None:
        """Remember a destination's answers; the newest answer for an object counts.

        What it had accepted and refuses when it is sent anew, it may hold all the same.
        """
        with self._engine.begin() as connection:
            for receipt in given:
                if receipt.accepted or not _refused_again(connection, receipt):
                    row = {name: getattr(receipt, name) for name in Receipt.__slots__}
                    row |= {"received_at": datetime.now(UTC)}
                    insert_or_replace(connection, receipts, row)

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

    def send_again(self, case_id: str, *, person: str, reason: str) -> int:
        """Let the results of a delivered case be sent anew; return how many objects and places.

        Raises
        ------
        ConfigError
            ``case-not-resendable``: it is not delivered, or nothing of it was.

        """
        now = datetime.now(UTC)
        values = {"accepted": False, "status": AGAIN, "received_at": now}
        change = receipts.update().where(_resendable(case_id)).values(**values)
        with self._engine.begin() as connection:
            count = connection.execute(change).rowcount
            if not count:
                raise ConfigError(
                    "case-not-resendable",
                    f"Case {case_id} has no results at a destination that count; "
                    "there is nothing to send again.",
                )
            event = AuditEvent(
                at=now, case_id=case_id, action="sent-again", detail=reason, person=person
            )
            note_event(connection, event)
        return count

    def can_send_again(self, case_id: str) -> bool:
        """Whether a case is delivered and a destination was sent a result of it that counts."""
        query = sa.select(sa.literal(1)).where(_resendable(case_id)).limit(1)
        with self._engine.connect() as connection:
            return connection.scalar(query) is not None

    def keep_here(self, case_id: str, code: str, *, asked_before: datetime) -> None:
        """Remember why nothing that was to be sent anew of a case goes out, to any destination.

        Whoever asked for it before a moment has to ask again.
        """
        own = sa.select(result_objects.c.sop_instance_uid).where(
            result_objects.c.case_id == case_id
        )
        which = (
            (receipts.c.status == AGAIN)
            & (receipts.c.received_at <= asked_before)
            & receipts.c.sop_instance_uid.in_(own)
        )
        values = {"status": f"{NOT_SENT}{code}"[:_LONGEST_STATUS], "received_at": datetime.now(UTC)}
        with self._engine.begin() as connection:
            connection.execute(receipts.update().where(which).values(**values))

    def to_send_again(self) -> tuple[str, ...]:
        """Return the delivered cases of which something is to be sent anew."""
        query = (
            sa.select(result_objects.c.case_id)
            .join(receipts)
            .join(cases, cases.c.case_id == result_objects.c.case_id)
            .where(receipts.c.status == AGAIN, ~receipts.c.accepted, result_objects.c.current)
            .where(cases.c.state == CaseState.DELIVERED)
            .distinct()
        )
        with self._engine.connect() as connection:
            return tuple(sorted(connection.scalars(query)))


def _receipt_of_it(which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    this = receipts.c.sop_instance_uid == result_objects.c.sop_instance_uid
    return sa.select(sa.literal(1)).where(this, which).correlate(result_objects).exists()


_WAS_TAKEN_ONCE = sa.or_(
    receipts.c.status == AGAIN,
    *map(receipts.c.status.startswith, _ONCE_TAKEN),
)
WAS_TAKEN: Final = _receipt_of_it(receipts.c.accepted | _WAS_TAKEN_ONCE)
"""A destination accepted the object; that it lost one part, it may tell, and have another."""
_STAYS = result_objects.c.kind.in_([ResultKind.ASSESSMENT, ResultKind.REJECTION])


def was_taken(receipt: Receipt) -> bool:
    """Whether a destination accepted the object at any time; in SQL, `WAS_TAKEN`."""
    return receipt.accepted or receipt.status == AGAIN or receipt.status.startswith(_ONCE_TAKEN)


def _refused_again(connection: sa.Connection, receipt: Receipt) -> bool:
    """Keep that a destination refuses what it had accepted once; False of what it never had."""
    this = (receipts.c.destination == receipt.destination) & (
        receipts.c.sop_instance_uid == receipt.sop_instance_uid
    )
    status = f"{SENT_AGAIN}{receipt.status}"[:_LONGEST_STATUS]
    change = receipts.update().where(this, _WAS_TAKEN_ONCE)
    values = {"accepted": False, "status": status, "received_at": datetime.now(UTC)}
    return connection.execute(change.values(**values)).rowcount > 0


def _resendable(case_id: str) -> sa.ColumnElement[bool]:
    own = sa.select(result_objects.c.sop_instance_uid).where(
        result_objects.c.case_id == case_id, result_objects.c.current, ~_STAYS
    )
    delivered = sa.select(sa.literal(1)).where(
        cases.c.case_id == case_id, cases.c.state == CaseState.DELIVERED
    )
    return receipts.c.sop_instance_uid.in_(own) & delivered.exists()


def set_aside(connection: sa.Connection, case_id: str) -> None:
    """Let the next run of a case say anew what it finds: nothing that it said counts."""
    own = result_objects.c.case_id == case_id
    connection.execute(result_objects.update().where(own).values(current=False))
    connection.execute(series_refusals.delete().where(series_refusals.c.case_id == case_id))


def _superseded_by(connection: sa.Connection, case_id: str) -> set[str]:
    found: set[str] = set()
    newest = {case_id}
    while newest:
        query = sa.select(cases.c.case_id).where(cases.c.superseded_by.in_(newest))
        newest = set(connection.scalars(query)) - found
        found |= newest
    return found


def _rows(connection: sa.Connection, where: sa.ColumnElement[bool]) -> tuple[ResultRow, ...]:
    return tuple(row for _, row in result_rows(connection, where))


def result_rows(
    connection: sa.Connection, where: sa.ColumnElement[bool]
) -> tuple[tuple[str, ResultRow], ...]:
    """Return result objects with the cases that they are of, by kind and UID."""
    names = [*ResultReference.__slots__, *ResultRow.__slots__]
    columns = [result_objects.c[name] for name in names]
    query = sa.select(result_objects.c.case_id, *columns).where(where)
    order = (result_objects.c.kind, result_objects.c.sop_instance_uid)
    found = []
    for case_id, *values in connection.execute(query.order_by(*order)):
        row = dict(zip(names, values, strict=True))
        found.append((case_id, ResultRow(**row | {"kind": ResultKind(row["kind"])})))
    return tuple(found)
