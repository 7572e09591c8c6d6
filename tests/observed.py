"""Observations made in code: scanners that scan every half hour, and what is found in their images."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.feature import Feature
from clic_edge.domain.monitoring import Observation, Stratum
from clic_edge.drift.reference import Acceptance, freeze
from clic_edge.ledger.features import write_features
from clic_edge.ledger.schema import cases, predictions
from clic_edge.ledger.sql import insert_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.engine import Engine

    from clic_edge.domain.monitoring import Reference

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=30)
SKYRA = Stratum(manufacturer="SIEMENS", model_name="Skyra", software_versions="E11")


@dataclass(frozen=True, kw_only=True)
class Habit:
    """What a scanner's studies look like; `shift` is in sd, by the feature's name."""

    shift: Mapping[str, float] = field(default_factory=dict)
    women: float = 0.5
    words: Mapping[str, str] = field(default_factory=dict)
    stratum: Stratum = SKYRA


def observations(
    n: int, *, begin: datetime = BEGIN, habit: Habit | None = None, seed: int = 1
) -> list[Observation]:
    """Return studies half an hour apart, with skewed and correlated numbers."""
    habit = habit or Habit()
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)
    made = []
    for index in range(n):
        own = rng.normal(size=4)
        latent = {
            "output.organ.volume_mm3": 0.6 * common[index] + 0.8 * own[0],
            "output.foreground_share": 0.9 * common[index] + 0.44 * own[1],
            "input.intensity.mean": own[2],
            "input.noise": 0.5 * own[2] + 0.87 * own[3],
        }
        numbers = {
            name: float(np.exp(0.3 * (value + habit.shift.get(name, 0.0))))
            for name, value in latent.items()
        }
        words = {
            "input.sex": "F" if rng.random() < habit.women else "M",
            "input.sequence_variant": "SP",
            "input.manufacturer": habit.stratum.manufacturer,
            "input.model_name": habit.stratum.model_name,
            "input.software_versions": habit.stratum.software_versions,
        } | habit.words
        features = (
            *(Feature(name=name, number=number) for name, number in numbers.items()),
            Feature(name="output.organ.pieces", number=float(rng.integers(1, 3))),
            *(Feature(name=name, text=word) for name, word in words.items()),
        )
        at = begin + index * STEP
        made.append(Observation(at=at, stratum=habit.stratum, features=features))
    return made


def acceptance(**changes: object) -> Acceptance:
    """Return who accepts what."""
    given = {
        "name": "acceptance",
        "model_id": "organs",
        "model_version": "1",
        "model_digest": "d" * 64,
        "frozen_at": BEGIN + timedelta(days=400),
        "frozen_by": "Ida Fysiker",
    }
    return Acceptance(**(given | changes))  # type: ignore[arg-type]


def reference(n: int = 600, *, seed: int = 1) -> Reference:
    """Return a frozen reference of so many usual studies."""
    return freeze(observations(n, seed=seed), SKYRA, acceptance())


def log(engine: Engine, seen: Iterable[Observation], *, digest: str = "d" * 64) -> list[str]:
    """Write observations of scanners into the prediction log, at their moments; return the ids."""
    kept = list(seen)
    case_id = f"case of {digest[:8]}"
    ids = [f"{digest[:8]} {one.at:%y%m%d%H%M%S} {index}" for index, one in enumerate(kept)]
    at = kept[0].at
    case = {
        "case_id": case_id,
        "study_id": "study",
        "pipeline": "organs",
        "series_ids": [],
        "state": "delivered",
        "attempt": 0,
        "expedited": False,
        "code": "",
        "reason": "",
        "received_at": at,
        "started_at": at,
        "updated_at": at,
        "study_digest": "",
    }
    rows = [
        {
            "prediction_id": name,
            "case_id": case_id,
            "series_id": name,
            "subject_id": "s",
            "series_uid": "2.25.1",
            "model_id": "organs",
            "model_version": "1",
            "model_digest": digest,
            "device": "cpu",
            "created_at": one.at,
            **asdict(one.stratum),
        }
        for name, one in zip(ids, kept, strict=True)
    ]
    with engine.begin() as connection:
        insert_once(connection, cases, [case])
        connection.execute(predictions.insert(), rows)
        for name, one in zip(ids, kept, strict=True):
            write_features(connection, name, one.features, embedding=one.embedding)
    return ids
