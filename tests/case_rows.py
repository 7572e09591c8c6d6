"""Cases written straight into a ledger: many at once, at moments that a test chooses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from source import ROOT

from clic_edge.domain.case import CaseState
from clic_edge.domain.clean import Method, SeriesCertificate
from clic_edge.domain.feature import Feature
from clic_edge.ledger.features import stratum_of, write_features
from clic_edge.ledger.schema import cases, predictions, result_objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sqlalchemy.engine import Engine

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SKYRA = {
    "input.manufacturer": "SIEMENS",
    "input.model_name": "Skyra",
    "input.software_versions": "E11",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case, and a prediction of it where a model is named."""

    case_id: str
    state: CaseState = CaseState.DELIVERED
    received_at: datetime = NOON
    seconds: float = 60.0
    pipeline: str = "brain"
    code: str = ""
    reason: str = ""
    model: str = ""
    digest: str = "d" * 64
    subject: str = "CE-AAAA"
    scanner: Mapping[str, str] | None = None
    numbers: Mapping[str, float] | None = None


def a_certificate(case_id: str, *, profile: str = "basic") -> SeriesCertificate:
    """Return how a series of two images was cleaned; signed by nobody."""
    return SeriesCertificate(
        case_id=case_id,
        subject_id="CE-AAAA",
        series_uid="2.25.1",
        instances=2,
        methods=(Method(code="113100", meaning="Basic Profile", instances=2),),
        profile=profile,
        policy_digest="e" * 64,
        table_edition="PS3.15 2026d",
        pixels="refuse",
        faces="ignore",
        checks=("residue",),
        software="clic-edge 0",
        key_id="0" * 16,
        public_key="1" * 64,
        made_at="2026-03-02T12:00:00+00:00",
        signature="2" * 128,
    )


def write_settings(folder: Path, more: str = "") -> Path:
    """Return a settings file by which the commands find the ledger of a folder."""
    path = folder / "clic-edge.toml"
    path.write_text(
        f"""[appliance]
state_dir = "."
models = "{ROOT}/models"
pipelines = "{ROOT}/configs/pipelines"
deid_profiles = "{ROOT}/configs/deid"
[destinations.pacs]
kind = "folder"
path = "out"
{more}"""
    )
    return path


def write_rows(engine: Engine, rows: Iterable[Row]) -> None:
    """Write cases; those with a model have a SEG that tells of its prediction."""
    kept = list(rows)
    seen = [row for row in kept if row.model]
    with engine.begin() as connection:
        connection.execute(cases.insert(), [_case(row) for row in kept])
        if seen:
            connection.execute(predictions.insert(), [_prediction(row) for row in seen])
            connection.execute(result_objects.insert(), [_result(row) for row in seen])
        for row in seen:
            write_features(connection, f"p-{row.case_id}", _features(row))


def _features(row: Row) -> list[Feature]:
    return [
        *(Feature(name=name, text=text) for name, text in (row.scanner or {}).items()),
        *(Feature(name=name, number=number) for name, number in (row.numbers or {}).items()),
    ]


def _case(row: Row) -> dict[str, object]:
    return {
        "case_id": row.case_id,
        "study_id": f"study of {row.case_id}"[:64],
        "pipeline": row.pipeline,
        "series_ids": ["one"],
        "state": row.state,
        "attempt": 0,
        "expedited": False,
        "code": row.code,
        "reason": row.reason,
        "received_at": row.received_at,
        "started_at": row.received_at,
        "updated_at": row.received_at + timedelta(seconds=row.seconds),
        "study_digest": "",
    }


def _prediction(row: Row) -> dict[str, object]:
    return {
        "prediction_id": f"p-{row.case_id}",
        "case_id": row.case_id,
        "series_id": "one",
        "subject_id": row.subject,
        "series_uid": "2.25.1",
        "model_id": row.model,
        "model_version": "1.0",
        "model_digest": row.digest,
        "device": "cpu",
        "created_at": row.received_at,
        **asdict(stratum_of(_features(row))),
    }


def _result(row: Row) -> dict[str, object]:
    return {
        "sop_instance_uid": f"2.25.{row.case_id}",
        "case_id": row.case_id,
        "kind": "SEG",
        "digest": "",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.66.4",
        "series_instance_uid": "2.25.9",
        "current": True,
        "prediction_id": f"p-{row.case_id}",
    }
