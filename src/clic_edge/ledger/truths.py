"""What turned out to be true later, beside the predictions that it is the truth of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from clic_edge.domain.case import CaseState
from clic_edge.domain.truth import Origin, Outcome, Truth, standing
from clic_edge.ledger.feature_tables import feature_values, truths
from clic_edge.ledger.features import VALUES, names_by_id, unpacker
from clic_edge.ledger.schema import audit_events, cases, predictions
from clic_edge.ledger.sql import in_parts, insert_once

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.engine import Engine

    from clic_edge.domain.feature import Feature

_SAYS: Final = ("chosen", "volume_mm3", "area_mm2")
"""Numbers of a finding that are above zero where the model found it, the first that there is."""
_MEASURES: Final = ("volume_mm3", "area_mm2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A case that a truth can be about."""

    case_id: str
    study_digest: str


class TruthStore:
    """Later ground truth, on any SQLAlchemy engine; none is ever overwritten."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def known(self) -> Iterator[Known]:
        """Yield every case that has not given way to another."""
        query = sa.select(cases.c.case_id, cases.c.study_digest)
        with self._engine.connect() as connection:
            rows = connection.execute(query.where(cases.c.state != CaseState.SUPERSEDED))
            yield from (Known(**row._mapping) for row in rows)

    def findings(self, case_ids: Collection[str]) -> Mapping[str, frozenset[str]]:
        """Return what the models of each case say something of: their segments and categories."""
        found: dict[str, set[str]] = {}
        with self._engine.connect() as connection:
            names = names_by_id(connection)
            for some in in_parts(case_ids):
                query = sa.select(predictions.c.case_id, feature_values.c.names_id)
                own = query.join(feature_values).where(predictions.c.case_id.in_(some))
                for case_id, names_id in connection.execute(own.distinct()):
                    said = _findings(names[names_id].numbers)
                    found.setdefault(case_id, set()).update(said)
        return {case_id: frozenset(said) for case_id, said in found.items()}

    def record(self, given: Iterable[Truth], *, dry: bool = False) -> int:
        """Remember truths in one transaction, and return how many say something new.

        The same truth of the same source given twice is one; another stands beside the earlier.
        """
        new = 0
        with self._engine.connect() as connection:
            for one in given:
                if _says_the_same(_newest(connection, one), one):
                    continue
                if not insert_once(connection, truths, [_row(one)]):
                    continue
                new += 1
                connection.execute(audit_events.insert().values(**_told(one)))
            if dry:
                connection.rollback()
            else:
                connection.commit()
        return new

    def of_case(self, case_id: str) -> tuple[Truth, ...]:
        """Return every truth of a case, oldest first."""
        with self._engine.connect() as connection:
            query = sa.select(truths).where(truths.c.case_id == case_id).order_by(truths.c.at)
            return tuple(_truth(row) for row in connection.execute(query))

    def outcomes(
        self, model_digest: str, finding: str, *, after: datetime | None, until: datetime
    ) -> tuple[Outcome, ...]:
        """Return what a model said of a finding after a moment, up to another, beside the truth.

        One for each case of which there is a truth, by the strongest origin, oldest first.
        """
        chosen = (predictions.c.model_digest == model_digest) & (predictions.c.created_at <= until)
        if after is not None:
            chosen &= predictions.c.created_at > after
        query = sa.select(*[predictions.c.case_id, predictions.c.created_at, *VALUES])
        told = sa.select(truths).join(predictions, predictions.c.case_id == truths.c.case_id)
        with self._engine.connect() as connection:
            rows = connection.execute(told.where(chosen, truths.c.finding == finding).distinct())
            true = {one.case_id: one for one in standing([_truth(row) for row in rows])}
            unpack = unpacker(connection)
            said: dict[str, list[_Said]] = {}
            own = query.join(feature_values).where(
                chosen, predictions.c.case_id.in_(sa.select(truths.c.case_id))
            )
            for row in connection.execute(own.order_by(predictions.c.created_at)):
                if row.case_id in true:
                    one = _said(row.created_at, unpack(row), finding)
                    said.setdefault(row.case_id, []).append(one)
        return tuple(_outcome(true[case_id], ours) for case_id, ours in said.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    at: datetime
    found: bool | None
    measured: float | None


def _said(at: datetime, features: Iterable[Feature], finding: str) -> _Said:
    begin = f"output.{finding}."
    numbers = {
        one.name.removeprefix(begin): one.number
        for one in features
        if one.number is not None and one.name.startswith(begin)
    }
    found = next((numbers[name] > 0 for name in _SAYS if name in numbers), None)
    measured = next((numbers[name] for name in _MEASURES if name in numbers), None)
    return _Said(at=at, found=found, measured=measured)


def _outcome(truth: Truth, said: list[_Said]) -> Outcome:
    answers = [one.found for one in said if one.found is not None]
    return Outcome(
        at=said[0].at,
        case_id=truth.case_id,
        origin=truth.origin,
        said=any(answers) if answers else None,
        present=truth.present,
        measured=said[0].measured if len(said) == 1 else None,
        value=truth.value,
    )


def _findings(names: Iterable[str]) -> set[str]:
    ends = tuple(f".{one}" for one in _SAYS)
    return {
        name.removeprefix("output.").rpartition(".")[0]
        for name in names
        if name.startswith("output.") and name.endswith(ends)
    }


def _row(one: Truth) -> dict[str, object]:
    row = {name: getattr(one, name) for name in Truth.__slots__}
    named = (one.case_id, one.finding, one.origin, one.source, one.at.isoformat())
    return row | {"truth_id": hashlib.sha256("\n".join(named).encode()).hexdigest()[:32]}


def _told(one: Truth) -> dict[str, object]:
    label = {True: "present", False: "absent", None: "measured"}[one.present]
    detail = f"{one.finding}: {label} by {one.origin}, {one.source}"
    return {"at": one.at, "case_id": one.case_id, "action": "truth", "detail": detail}


def _newest(connection: sa.Connection, one: Truth) -> Truth | None:
    key = ("case_id", "finding", "origin", "source")
    same = sa.and_(*(truths.c[name] == getattr(one, name) for name in key))
    query = sa.select(truths).where(same).order_by(truths.c.at.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return _truth(row) if row else None


def _says_the_same(known: Truth | None, new: Truth) -> bool:
    said = ("present", "value", "confidence")
    return known is not None and all(getattr(known, one) == getattr(new, one) for one in said)


def _truth(row: sa.Row[tuple[object, ...]]) -> Truth:
    values = dict(row._mapping)
    del values["truth_id"]
    values["origin"] = Origin(values["origin"])
    return Truth(**values)
