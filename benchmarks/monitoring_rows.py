"""Years of cases, predictions and what came after them, written in bulk into the ledger's tables.

500 studies a day until now: two models, four scanners, one study in fifty refused, one in thirty
assessed, one in a hundred with a later truth, six stages and three events each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from clic_edge.ledger.features import Names
from clic_edge.ledger.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

PER_DAY = 500
WORDS = 20
MODELS = ("a" * 64, "b" * 64)
SCANNERS = (
    ("SIEMENS", "Skyra", "E11"),
    ("SIEMENS", "Prisma", "E11"),
    ("GE", "Signa", "DV26"),
    ("Philips", "Ingenia", "5.7"),
)
STAGES = ("accept", "predict", "write", "deliver", "confirm", "finish")
SECOND_MODEL, EMPTY, WOMEN, REFUSED = 0.3, 0.5, 0.5, 0.02
_AT_A_TIME = 5000


@dataclass(frozen=True, kw_only=True)
class Years:
    """How much is written."""

    rows: int
    features: int
    until: datetime

    @property
    def names(self) -> Names:
        """The features of every prediction."""
        numbers = [f"output.segment{n:03}.volume_mm3" for n in range(self.features - WORDS)]
        words = ["input.manufacturer", "input.model_name", "input.software_versions", "input.sex"]
        words += [f"input.word{n:02}" for n in range(WORDS - len(words))]
        return Names(numbers=tuple(sorted(numbers)), words=tuple(sorted(words)))


def fill(engine: Engine, years: Years) -> None:
    """Write everything."""
    names = years.names
    told = {"numbers": json.dumps(names.numbers), "words": json.dumps(names.words)}
    with engine.begin() as connection:
        table = metadata.tables["feature_names"]
        connection.execute(table.insert().values(told | {"names_id": names.names_id}))
    for begin in range(0, years.rows, _AT_A_TIME):
        with engine.begin() as connection:
            for name, rows in _rows(years, begin, min(begin + _AT_A_TIME, years.rows)).items():
                write(connection, name, rows)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))


def write(connection: sa.Connection, name: str, rows: list[dict[str, object]]) -> None:
    """Write rows by the fastest way that the driver has."""
    if not rows:
        return
    columns = ", ".join(rows[0])
    cursor = connection.connection.cursor()
    if connection.dialect.name == "postgresql":
        with cursor.copy(f"COPY {name} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(tuple(row.values()))
        return
    marks = ", ".join("?" * len(rows[0]))
    values = [tuple(_plain(value) for value in row.values()) for row in rows]
    cursor.executemany(f"INSERT INTO {name} ({columns}) VALUES ({marks})", values)  # noqa: S608 - our own tables


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")
    return value


def _rows(years: Years, first: int, last: int) -> dict[str, list[dict[str, object]]]:
    rng, names = np.random.default_rng(first), years.names
    n = last - first
    step = timedelta(days=1) / PER_DAY
    begin = years.until - years.rows * step
    ids = [
        f"{one:016x}{index:016x}"
        for index, one in zip(range(first, last), rng.integers(0, 2**62, n), strict=True)
    ]
    at = [begin + (first + index) * step for index in range(n)]
    scanner = rng.integers(0, len(SCANNERS), n)
    model = (rng.random(n) < SECOND_MODEL).astype(int)
    values = rng.normal(1000, 200, (n, years.features - WORDS)).astype("<f8")
    values[rng.random(n) < EMPTY, 0] = 0.0
    sex = rng.random(n) < WOMEN
    refused = rng.random(n) < REFUSED
    tables: dict[str, list[dict[str, object]]] = {}
    for index in range(n):
        row = _One(ids[index], at[index], SCANNERS[scanner[index]], int(model[index]))
        for name, made in row.tables(refused=bool(refused[index])):
            tables.setdefault(name, []).append(made)
        if not refused[index]:
            words = dict(
                zip(
                    ("input.manufacturer", "input.model_name", "input.software_versions"),
                    row.scanner,
                    strict=True,
                )
            )
            words["input.sex"] = "FM"[int(sex[index])]
            tables.setdefault("feature_values", []).append(
                {
                    "prediction_id": row.name,
                    "names_id": names.names_id,
                    "numbers": values[index].tobytes(),
                    "words": json.dumps([words.get(name, "SE") for name in names.words]),
                }
            )
    return tables


@dataclass(frozen=True)
class _One:
    name: str
    at: datetime
    scanner: tuple[str, str, str]
    model: int

    def tables(self, *, refused: bool) -> Iterator[tuple[str, dict[str, object]]]:
        """Yield the rows of one case."""
        ends = self.at + timedelta(seconds=90)
        kind = int(self.name[:6], 16)
        yield "cases", {
            "case_id": self.name, "study_id": self.name[::-1], "pipeline": f"pipeline-{self.model}",
            "series_ids": '["s"]', "state": "refused" if refused else "delivered", "attempt": 0,
            "expedited": False, "code": "missing-slices" if refused else "", "reason": "",
            "received_at": self.at, "started_at": self.at, "updated_at": ends,
            "study_digest": self.name * 2,
        }  # fmt: skip
        for action in ("received", "running", "refused" if refused else "delivered"):
            yield (
                "audit_events",
                {"at": self.at, "case_id": self.name, "action": action, "detail": ""},
            )
        for stage in STAGES:
            yield "stage_seconds", {"case_id": self.name, "stage": stage, "seconds": kind % 97 / 7}
        if refused:
            yield "series_refusals", {
                "case_id": self.name, "series_id": "s", "image": 0,
                "model_digest": MODELS[self.model], "code": "missing-slices", "reason": "",
                "withheld": False, "at": self.at,
            }  # fmt: skip
            return
        yield "predictions", {
            "prediction_id": self.name, "case_id": self.name, "series_id": "s",
            "subject_id": f"CE-{kind:08}", "series_uid": f"2.25.{kind}{self.name}",
            "model_id": f"model-{self.model}", "model_version": "1",
            "model_digest": MODELS[self.model], "device": "cpu", "created_at": ends,
            "manufacturer": self.scanner[0], "model_name": self.scanner[1],
            "software_versions": self.scanner[2],
        }  # fmt: skip
        if kind % 30 == 0:
            yield "assessments", {
                "assessment_id": self.name, "case_id": self.name, "prediction_id": self.name,
                "finding": "segment000", "verdict": ("accepted", "modified")[kind % 4 == 0],
                "reason": "", "reader": f"reader-{kind % 7}", "source": "page", "at": ends,
            }  # fmt: skip
        if kind % 100 == 0:
            yield "truths", {
                "truth_id": self.name, "case_id": self.name, "finding": "segment000",
                "present": kind % 3 > 0, "origin": "pathology", "source": "registry", "at": ends,
            }  # fmt: skip
