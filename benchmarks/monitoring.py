"""How fast the ledger takes predictions and answers pages, on SQLite and PostgreSQL.

    python benchmarks/monitoring.py [--rows 10000 180000 2000000] [--features 100]

Databases are filled in bulk through the product's own tables, then asked with the product's own
functions. Beside each stands what the machine could do at best, in the same run: a bare INSERT,
and the same columns out of a Parquet file. Writes `MONITORING.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from monitoring_rows import MODELS, PER_DAY, WORDS, Years, fill
from pyarrow import parquet

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from servers import postgres_server  # noqa: E402 - needs the path

from clic_edge.board.cases import case_page  # noqa: E402 - as above
from clic_edge.board.latency import latency  # noqa: E402 - as above
from clic_edge.board.models import models  # noqa: E402 - as above
from clic_edge.board.overview import Surroundings, overview  # noqa: E402 - as above
from clic_edge.board.performance import performance  # noqa: E402 - as above
from clic_edge.domain.case import CaseState  # noqa: E402 - as above
from clic_edge.domain.feature import Feature  # noqa: E402 - as above
from clic_edge.drift.comparison import compare, subgroups  # noqa: E402 - as above
from clic_edge.drift.monitor import evaluate  # noqa: E402 - as above
from clic_edge.drift.plan import Policy  # noqa: E402 - as above
from clic_edge.drift.reference import Acceptance, freeze  # noqa: E402 - as above
from clic_edge.ledger import Ledger  # noqa: E402 - as above
from clic_edge.ledger.database import migrate, open_engine  # noqa: E402 - as above
from clic_edge.ledger.features import write_features  # noqa: E402 - as above
from clic_edge.ledger.schema import cases, predictions  # noqa: E402 - as above
from clic_edge.ledger.search import Place, Wanted  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

DIGEST = MODELS[0]
DAYS = 90
REPEATS = 5
LOGGED = 300
MANY = 1_000_000
INTRODUCTION = """\
`python benchmarks/monitoring.py`, {date}, {machine}, {cores} cores, load {load} at the end (other \
work shares the machine).
500 studies a day, two models, four scanners; medians of four warm reads, and of the slowest page \
the first read too. 180,000 rows are a year, 2 million eleven years. PostgreSQL runs without fsync, \
as in the tests, SQLite with it: what they log a second can't be compared with each other.

"Logged" writes a prediction and its 100 features and commits. The bound beside it is one bare INSERT \
of the same bytes and a commit, on SQLite. Parquet holds ten of the columns of one model and no \
scanner, and nothing else; it shows what the same columns cost without a transaction log.
"""
AROUND = Surroundings(archive_answers=True, free_bytes=10**11, total_bytes=2 * 10**11)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One page or read, on one database."""

    what: str
    seconds: float
    """Median, warm."""
    first: float
    """The first time."""


def measured(what: str, ask: Callable[[], object]) -> Row:
    """Return how long something takes."""
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        ask()
        times.append(time.perf_counter() - begun)
    row = Row(what=what, seconds=median(times[1:]), first=times[0])
    print(f"  {what}: {row.seconds:.3f} s (first {row.first:.3f})", flush=True)
    return row


def pages(engine: Engine, years: Years) -> list[Row]:
    """Return how long each page's reads take."""
    ledger, now = Ledger.on(engine), years.until
    span = years.rows / PER_DAY
    deep = Place(received_at=now - timedelta(days=span / 2), case_id="f")
    after = now - timedelta(days=DAYS)
    names = years.names.numbers[:5]
    with engine.connect() as connection:
        subject = connection.scalar(sa.select(predictions.c.subject_id).limit(1)) or ""
        case_id = connection.scalar(sa.select(cases.c.case_id).limit(1)) or ""
    asked = {
        "overview": lambda: overview(ledger, AROUND, now),
        "cases, first page": lambda: case_page(ledger, Wanted()),
        "cases, refused": lambda: case_page(ledger, Wanted(states=(CaseState.REFUSED,))),
        "cases, halfway down": lambda: ledger.search.page(Wanted(), limit=50, after=deep),
        "cases of a scanner": lambda: case_page(ledger, Wanted(scanner="Skyra")),
        "cases of a model and day": lambda: case_page(
            ledger, Wanted(model="model-0", since=now - timedelta(days=1))
        ),
        "cases of a pseudonym": lambda: case_page(ledger, Wanted(text=subject)),
        "a case's audit": lambda: ledger.records.audit(case_id),
        "models": lambda: models(ledger, now),
        "models that predicted": ledger.observations.models,
        f"latency by stage, {DAYS} days, at most 8000 cases": lambda: latency(
            ledger, DIGEST, days=DAYS, now=now
        ),
        f"5 features, {DAYS} days": lambda: ledger.features.table(
            DIGEST, after=after, until=now, names=names
        ),
        "all features, 30 days": lambda: ledger.features.table(
            DIGEST, after=now - timedelta(days=30), until=now
        ),
        f"readers' words, {DAYS} days": lambda: ledger.assessments.since(after),
        f"sensitivity and specificity, {DAYS} days": lambda: performance(
            ledger, DIGEST, "segment000", after=after, until=now
        ),
        "open alarms": lambda: ledger.monitoring.alarms(is_open=True),
    }
    return [measured(what, ask) for what, ask in asked.items()]


def drift(engine: Engine, years: Years) -> list[Row]:
    """Return how long the monitor takes for 30 days of one model."""
    ledger, now = Ledger.on(engine), years.until
    half = timedelta(days=min(30, years.rows / PER_DAY / 2))
    begin, month = now - 2 * half, now - half
    before = ledger.observations.of_model(DIGEST, after=begin, until=month)
    stratum = next(one.stratum for one in before if str(one.stratum) != "all scanners")
    named = Acceptance(
        name="bench",
        model_id="model-0",
        model_version="1",
        model_digest=DIGEST,
        frozen_at=now,
        frozen_by="benchmark",
    )
    reference = freeze(before, stratum, named)
    seen = ledger.observations.of_model(DIGEST, after=month, until=now)
    ours = [one for one in seen if one.stratum == stratum]
    return [
        measured(
            "observations of 30 days",
            lambda: ledger.observations.of_model(DIGEST, after=month, until=now),
        ),
        measured(
            f"charts of {len(reference.numbers)} features over {len(ours)} studies of a scanner",
            lambda: evaluate(reference, ours, policy=Policy()),
        ),
        measured("30 days beside the reference", lambda: compare(reference, ours)),
        measured(
            "subgroups by sex",
            lambda: subgroups(ours, years.names.numbers[1], "input.sex", smallest=30),
        ),
    ]


def logging_rate(engine: Engine, years: Years) -> tuple[float, float]:
    """Return rows a second: as the product logs, and as bare INSERTs of the same bytes."""
    features = [Feature(name=name, number=1.5) for name in years.names.numbers]
    features += [Feature(name=name, text="SIEMENS") for name in years.names.words]
    with engine.begin() as connection:
        case_id = connection.scalar(sa.select(cases.c.case_id).limit(1))
        made = connection.execute(sa.select(predictions).limit(1)).mappings().one()
    begun = time.perf_counter()
    for number in range(LOGGED):
        row = dict(made) | {"prediction_id": f"logged {number}", "case_id": case_id}
        with engine.begin() as connection:
            connection.execute(predictions.insert().values(row))
            write_features(connection, row["prediction_id"], features)
    ours = LOGGED / (time.perf_counter() - begun)
    with tempfile.TemporaryDirectory() as folder:
        bare = sqlite3.connect(Path(folder) / "bare.sqlite")
        bare.execute("PRAGMA journal_mode=WAL")
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE p (id TEXT PRIMARY KEY, row TEXT, numbers BLOB)")
        content = (json.dumps(dict(made), default=str), bytes(8 * len(years.names.numbers)))
        begun = time.perf_counter()
        for number in range(LOGGED):
            bare.execute("INSERT INTO p VALUES (?, ?, ?)", (f"logged {number}", *content))
            bare.commit()
        theirs = LOGGED / (time.perf_counter() - begun)
        bare.close()
    print(f"  logged {ours:.0f} rows/s, bare {theirs:.0f}", flush=True)
    return ours, theirs


def from_parquet(years: Years) -> float:
    """Return how long the same five columns and days take out of one Parquet file."""
    rng = np.random.default_rng(0)
    kept = int(years.rows * 0.7)
    at = np.arange(kept) * (86400 / PER_DAY / 0.7)
    names = years.names.numbers
    columns = {"at": at} | {name: rng.normal(1000, 200, kept) for name in names[:10]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.parquet"
        parquet.write_table(pa.table(columns), path, row_group_size=50_000)
        since = at[-1] - DAYS * 86400
        filters = [("at", ">", since)]
        row = measured(
            "the same out of Parquet",
            lambda: parquet.read_table(path, columns=["at", *names[:5]], filters=filters),
        )
    return row.seconds


@dataclass(frozen=True, kw_only=True)
class Result:
    """One database of one size."""

    database: str
    rows: int
    features: int
    filled_s: float
    size: int
    pages: list[Row]
    drift: list[Row]
    logged: float
    bare: float
    parquet_s: float


def measure(engine: Engine, years: Years) -> Result:
    """Fill a database, and ask it."""
    name = engine.dialect.name
    print(f"{name}, {years.rows} rows of {years.features} features", flush=True)
    migrate(engine)
    begun = time.perf_counter()
    fill(engine, years)
    filled = time.perf_counter() - begun
    if name == "sqlite":
        size = Path(engine.url.database or "").stat().st_size
    else:
        with engine.connect() as connection:
            size = connection.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0
    logged, bare = logging_rate(engine, years)
    return Result(
        database=name,
        rows=years.rows,
        features=years.features,
        filled_s=filled,
        size=size,
        pages=pages(engine, years),
        drift=drift(engine, years),
        logged=logged,
        bare=bare,
        parquet_s=from_parquet(years),
    )


def write_page(results: list[Result]) -> None:
    """Write `MONITORING.md`."""
    lines = [
        "# The ledger under years of predictions",
        "",
        INTRODUCTION.format(
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            machine=platform.machine(),
            cores=os.cpu_count(),
            load=f"{os.getloadavg()[0]:.1f}",
        ),
        "",
    ]
    head = [f"{one.database}, {one.rows:,}" for one in results]
    lines += ["| | " + " | ".join(head) + " |", "|---|" + "---|" * len(results)]
    lines.append(
        "| features of a prediction | " + " | ".join(str(one.features) for one in results) + " |"
    )
    lines.append("| size, MB | " + " | ".join(f"{one.size / 1e6:,.0f}" for one in results) + " |")
    lines.append(
        "| bytes a case, with all that hangs on it | "
        + " | ".join(f"{one.size / one.rows:,.0f}" for one in results)
        + " |"
    )
    lines.append(
        "| predictions logged a second, each committed | "
        + " | ".join(f"{one.logged:,.0f}" for one in results)
        + " |"
    )
    lines.append(
        "| bare SQLite INSERT and commit, a second | "
        + " | ".join(f"{one.bare:,.0f}" for one in results)
        + " |"
    )
    lines.append(
        "| ratio | " + " | ".join(f"{one.logged / one.bare:.2f}" for one in results) + " |"
    )
    for kind in ("pages", "drift"):
        for number, row in enumerate(getattr(results[0], kind)):
            cells = [f"{getattr(one, kind)[number].seconds:.3f}" for one in results]
            lines.append(f"| {row.what}, s | " + " | ".join(cells) + " |")
    lines.append(
        f"| 5 features, {DAYS} days out of one Parquet file, s | "
        + " | ".join(f"{one.parquet_s:.3f}" for one in results)
        + " |"
    )
    slowest = [max(one.pages, key=lambda row: row.seconds) for one in results]
    lines.append(
        "| slowest page | "
        + " | ".join(f"{row.what}: {row.seconds:.2f} (first {row.first:.2f})" for row in slowest)
        + " |"
    )
    (HERE / "MONITORING.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measure each size on each database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 180_000, 2_000_000])
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--fewer", type=int, default=40, help="Features from a million rows on.")
    asked = parser.parse_args()
    until = datetime.now(UTC).replace(microsecond=0)
    results = []
    for rows in asked.rows:
        many = asked.features if rows < MANY else asked.fewer
        years = Years(rows=rows, features=max(many, WORDS + 10), until=until)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            results.append(measure(open_engine(f"sqlite:///{folder / 'ledger.sqlite'}"), years))
        with postgres_server() as server:
            engine = open_engine(server.url)
            results.append(measure(engine, years))
            engine.dispose()
        write_page(results)


if __name__ == "__main__":
    main()
