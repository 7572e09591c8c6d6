"""Every table leaves as Parquet and CSV, whole, without what would lead to a patient."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
from case_rows import SKYRA, Row, write_rows, write_settings
from ledgers import make_tables
from pyarrow import parquet
from typer.testing import CliRunner

from clic_edge.cli import app
from clic_edge.errors import ConfigError
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.export import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

HANDLE = "study of one"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the settings of a ledger of 1,200 cases, more than are written at a time."""
    folder = tmp_path_factory.mktemp("export")
    engine = open_engine(f"sqlite:///{folder / 'clic-edge.sqlite'}")
    make_tables(engine)
    first = Row(case_id="one", model="m", scanner=SKYRA, numbers={"output.x.volume_mm3": 2.5})
    write_rows(engine, [first, *(Row(case_id=f"c{n:04}", model="m") for n in range(1199))])
    engine.dispose()
    return write_settings(folder)


def export(site: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["-c", str(site), "ledger", "export", *words])


@pytest.mark.slow
def test_every_table_is_written_whole_and_without_handles(site: Path, tmp_path: Path) -> None:
    assert export(site, str(tmp_path)).exit_code == 0
    assert sorted(one.stem for one in tmp_path.iterdir()) == sorted(TABLES)
    cases = parquet.read_table(tmp_path / "cases.parquet")
    predictions = parquet.read_table(tmp_path / "predictions.parquet")
    assert (cases.num_rows, predictions.num_rows) == (1200, 1200)
    (one,) = [row for row in predictions.to_pylist() if row["case_id"] == "one"]
    assert one["output.x.volume_mm3"] == 2.5
    assert one["input.manufacturer"] == "SIEMENS"
    assert one["created_at"].tzinfo is not None
    assert not any(HANDLE.encode() in path.read_bytes() for path in tmp_path.iterdir())
    named = {name for path in tmp_path.iterdir() for name in parquet.read_schema(path).names}
    assert not named & {"study_id", "series_id", "series_ids", "study_digest"}


def test_one_table_as_csv_says_the_same(site: Path, tmp_path: Path) -> None:
    assert export(site, str(tmp_path), "--format", "csv", "--table", "predictions").exit_code == 0
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    (one,) = [row for row in rows if row["case_id"] == "one"]
    assert (one["output.x.volume_mm3"], one["input.model_name"]) == ("2.5", "Skyra")
    assert len(rows) == 1200
    assert {row["output.x.volume_mm3"] for row in rows} == {"2.5", ""}


def test_no_word_of_a_file_is_a_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'clic-edge.sqlite'}")
    make_tables(engine)
    formula = "=HYPERLINK(A1)"
    numbers = {"output.x.change": -2.5}
    row = Row(
        case_id="one", model="m", scanner=SKYRA | {"input.model_name": formula}, numbers=numbers
    )
    write_rows(engine, [row])
    engine.dispose()
    site, out = write_settings(tmp_path), tmp_path / "tables"
    assert export(site, str(out), "--format", "csv", "--table", "predictions").exit_code == 0
    words = ["-c", str(site), "predictions", "--since", "2026-01-01", "--format", "csv"]
    assert CliRunner().invoke(app, [*words, "--out", str(out / "log.csv")]).exit_code == 0
    for name in ("predictions.csv", "log.csv"):
        with (out / name).open(encoding="utf-8") as stream:
            (told,) = csv.DictReader(stream)
        assert told["input.model_name"] == f"'{formula}", name
        assert told["output.x.change"] == "-2.5", "a number stays one"


def test_a_table_that_is_none_is_refused_with_the_nearest(site: Path, tmp_path: Path) -> None:
    ran = export(site, str(tmp_path), "--table", "prediction")
    assert isinstance(ran.exception, ConfigError)
    assert ran.exception.code == "no-such-table"
    assert "predictions" in ran.exception.sentence
