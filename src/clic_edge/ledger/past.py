"""Studies that never were, at moments gone by: for a demonstration, never on a site's ledger."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from clic_edge.domain.case import CaseState
from clic_edge.ledger.features import stratum_of, write_features
from clic_edge.ledger.schema import cases, predictions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from sqlalchemy.engine import Engine

    from clic_edge.domain.feature import Feature
    from clic_edge.domain.prediction import ModelIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class PastStudy:
    """One study that was delivered, or refused where it has no features."""

    number: int
    at: datetime
    took: timedelta
    pipeline: str
    model: ModelIdentity
    features: tuple[Feature, ...] = ()
    code: str = ""
    reason: str = ""

    @property
    def case_id(self) -> str:
        """What its case is known by."""
        return _handle("case", self.number)

    @property
    def prediction_id(self) -> str:
        """What its prediction is known by."""
        return _handle("prediction", self.number)


def write_past(engine: Engine, studies: Iterable[PastStudy]) -> None:
    """Write studies as if the line had run them then."""
    kept = list(studies)
    predicted = [one for one in kept if one.features]
    with engine.begin() as connection:
        connection.execute(cases.insert(), [_case(one) for one in kept])
        connection.execute(predictions.insert(), [_prediction(one) for one in predicted])
        for one in predicted:
            write_features(connection, one.prediction_id, one.features)


def _case(one: PastStudy) -> dict[str, object]:
    return {
        "case_id": one.case_id,
        "study_id": _handle("study", one.number),
        "pipeline": one.pipeline,
        "series_ids": [_handle("series", one.number)],
        "state": CaseState.DELIVERED if one.features else CaseState.REFUSED,
        "attempt": 0,
        "expedited": False,
        "code": one.code,
        "reason": one.reason,
        "received_at": one.at,
        "started_at": one.at,
        "updated_at": one.at + one.took,
        "study_digest": "",
    }


def _prediction(one: PastStudy) -> dict[str, object]:
    return {
        "prediction_id": one.prediction_id,
        "case_id": one.case_id,
        "series_id": _handle("series", one.number),
        "subject_id": _handle("subject", one.number)[:16],
        "series_uid": f"2.25.{one.number}",
        "model_id": one.model.model_id,
        "model_version": one.model.version,
        "model_digest": one.model.digest,
        "device": "cpu",
        "created_at": one.at + one.took,
    } | asdict(stratum_of(one.features))


def _handle(kind: str, number: int) -> str:
    return hashlib.sha256(f"{kind} {number} of a demonstration".encode()).hexdigest()[:40]
