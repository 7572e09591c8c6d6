"""Ground truth that comes later: imported by line and column, and held beside what models said."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from case_rows import NOON, Row, write_rows, write_settings
from ledgers import make_tables
from scipy.stats import binomtest
from typer.testing import CliRunner

from clic_edge.board.performance import Share, performance
from clic_edge.cli import app, console
from clic_edge.deid.keys import create_key
from clic_edge.domain.study import digest_of
from clic_edge.domain.truth import Origin
from clic_edge.errors import ConfigError
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.schema import cases

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

UID = "1.2.826.0.1.3680043.8.498.1"
HEAD = "case,finding,label,value,origin,source,confidence"
VOLUME = "output.tumour.volume_mm3"
UNTIL = NOON + timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A ledger of four cases, two of which the model found something in."""

    folder: Path
    ledger: Ledger

    def run(self, *words: str) -> Result:
        """Run ``clic-edge truth``."""
        settings = str(self.folder / "clic-edge.toml")
        return CliRunner().invoke(app, ["-c", settings, "truth", *words])

    def import_lines(self, *lines: str, dry: bool = False) -> Result:
        """Import a file of these lines."""
        path = self.folder / "truths.csv"
        path.write_text("\n".join(lines), encoding="utf-8")
        return self.run("import", str(path), *(["--dry"] if dry else []))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the ledger, its settings and the key."""
    folder = tmp_path_factory.mktemp("truths")
    write_settings(folder)
    create_key(folder / "deid.key")
    engine = open_engine(f"sqlite:///{folder / 'clic-edge.sqlite'}")
    make_tables(engine)
    volumes = {"one": 5.0, "two": 0.0, "three": 7.0, "four": 0.0}
    month = timedelta(days=31)
    write_rows(
        engine,
        [
            Row(
                case_id=name,
                model="m",
                received_at=NOON + index // 2 * month,
                numbers={VOLUME: volume},
            )
            for index, (name, volume) in enumerate(volumes.items())
        ],
    )
    with engine.begin() as connection:
        own = cases.c.case_id == "four"
        connection.execute(cases.update().where(own).values(study_digest=digest_of([UID])))
    engine.dispose()
    return folder


@pytest.fixture
def bench(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(console.stdout, "width", 200)
    folder = tmp_path / "site"
    shutil.copytree(filled, folder)
    engine = open_engine(f"sqlite:///{folder / 'clic-edge.sqlite'}")
    return Bench(folder=folder, ledger=Ledger.on(engine))


def test_what_is_imported_is_held_beside_what_the_model_said(bench: Bench) -> None:
    done = bench.import_lines(
        HEAD,
        "one,tumour,present,6,pathology,registry-2026,",
        "two,tumour,present,,pathology,registry-2026,",
        "three,tumour,absent,,adjudicated,second-look,0.9",
        "four,tumour,absent,,report,ris,",
    )
    assert done.exit_code == 0, done.exception
    found = performance(bench.ledger, "d" * 64, "tumour", after=None, until=UNTIL)
    assert (found.sensitivity, found.specificity) == (Share(hits=1, n=2), Share(hits=1, n=2))
    march, april = found.months
    assert (march.begins.month, march.sensitivity, march.specificity.n) == (3, found.sensitivity, 0)
    assert (april.begins.month, april.specificity) == (4, found.specificity)
    assert [(pair.measured, pair.value) for pair in found.pairs] == [(5.0, 6.0)]


def test_importing_again_changes_nothing_and_a_correction_counts(bench: Bench) -> None:
    line = "one,tumour,present,,report,ris,"
    assert "1 of 1 truths are new" in bench.import_lines(HEAD, line).output
    assert "0 of 1 truths are new" in bench.import_lines(HEAD, line).output
    corrected = line.replace("present", "absent")
    assert "1 of 1 truths are new" in bench.import_lines(HEAD, corrected).output
    assert [one.present for one in bench.ledger.truths.of_case("one")] == [True, False]
    (outcome,) = bench.ledger.truths.outcomes("d" * 64, "tumour", after=None, until=UNTIL)
    assert outcome.present is False
    actions = [event.action for event in bench.ledger.records.audit("one")]
    assert actions == ["truth", "truth"]


def test_the_strongest_origin_counts_whenever_it_came(bench: Bench) -> None:
    bench.import_lines(HEAD, "one,tumour,absent,,pathology,registry,")
    bench.import_lines(HEAD, "one,tumour,present,,report,ris,")
    (outcome,) = bench.ledger.truths.outcomes("d" * 64, "tumour", after=None, until=UNTIL)
    assert (outcome.present, outcome.origin) == (False, Origin.PATHOLOGY)


def test_a_dry_run_says_what_would_be_new_and_writes_nothing(bench: Bench) -> None:
    ran = bench.import_lines(HEAD, "one,tumour,present,,report,ris,", dry=True)
    assert "1 of 1 truths would be new" in ran.output
    assert bench.ledger.truths.of_case("one") == ()


def test_a_study_is_named_by_a_stand_in_that_only_the_site_can_make(bench: Bench) -> None:
    uids = bench.folder / "uids.txt"
    uids.write_text(f"{UID}\n")
    stand_in = bench.run("stand-ins", str(uids)).output.strip()
    assert UID not in stand_in
    head = "study;finding;value;origin;source"
    ran = bench.import_lines(
        head, f"{stand_in};tumour;2,5;follow-up;clinic", f"{'0' * 32};x;1;report;y"
    )
    assert ran.exit_code == 0, ran.exception
    (one,) = bench.ledger.truths.of_case("four")
    assert (one.value, one.present, one.origin) == (2.5, None, Origin.FOLLOW_UP)
    with (bench.folder / "clic-edge.sqlite").open("rb") as database:
        assert UID.encode() not in database.read()


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("one,tumour,maybe,,report,ris,", "Line 3, column label"),
        ("one,tumour,,,report,ris,", "Line 3, column label"),
        ("one,tumour,present,,hearsay,ris,", "Line 3, column origin"),
        ("one,tumour,present,nan,report,ris,", "Line 3, column value"),
        ("one,tumour,present,x,report,ris,", "Line 3, column value"),
        ("one,tumour,present,,report,ris,1.5", "Line 3, column confidence"),
        ("one,tumour,present,,report,010190-1234,", "Line 3, column source"),
        ("one,tumour,present,,report,from Karen,", "Line 3, column source"),
        ("one,tumour,present,,report", "Line 3, column last"),
        ("one,tumour,present,,report,ris,,,", "Line 3, column last"),
        (",tumour,present,,report,ris,", "Line 3, column case"),
        ("nobody,tumour,present,,report,ris,", "Line 3, column case"),
        ("one,liver,present,,report,ris,", "Line 3, column finding"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_nothing_is_imported(
    bench: Bench, line: str, place: str
) -> None:
    ran = bench.import_lines(HEAD, "two,tumour,present,,report,ris,", line)
    assert isinstance(ran.exception, ConfigError)
    assert ran.exception.code == "bad-truth-file"
    assert place in ran.exception.sentence
    assert bench.ledger.truths.of_case("two") == ()


@pytest.mark.parametrize("head", ["", "case,finding", HEAD.replace("value", "size"), "case,case"])
def test_a_header_that_is_wrong_is_refused(bench: Bench, head: str) -> None:
    ran = bench.import_lines(head, "one,tumour,present,,report,ris,")
    assert isinstance(ran.exception, ConfigError)
    assert "Line 1" in ran.exception.sentence


def test_bytes_that_are_no_text_are_refused(bench: Bench) -> None:
    path = bench.folder / "truths.csv"
    path.write_bytes(b"\xff\xfe\x00case")
    ran = bench.run("import", str(path))
    assert isinstance(ran.exception, ConfigError)
    assert ran.exception.code == "bad-truth-file"


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (3, 10), (50, 50), (480, 500)])
def test_the_interval_is_wilsons(hits: int, n: int) -> None:
    theirs = binomtest(hits, n).proportion_ci(method="wilson")
    ours = Share(hits=hits, n=n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_of_nothing_nothing_is_said() -> None:
    nothing = Share(hits=0, n=0)
    assert (nothing.value, nothing.low, nothing.high) == (None, 0.0, 1.0)
