"""The monitor by the commands: freeze, evaluate, look, acknowledge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from ledgers import make_tables
from observed import STEP, Habit, log, observations
from source import ROOT
from typer.testing import CliRunner

from clic_edge.cli import app, console
from clic_edge.domain.standing import Placement
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine

SETTINGS = f"""\
[appliance]
state_dir = "."
models = "{ROOT}/models"
pipelines = "{ROOT}/configs/pipelines"
deid_profiles = "{ROOT}/configs/deid"
[destinations.pacs]
kind = "folder"
path = "out"
[monitoring]
smallest_group = 10
[monitoring.stop]
image = "shadow"
"""


class Site:
    """A ledger with twenty days of studies, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.settings = folder / "clic-edge.toml"
        self.settings.write_text(SETTINGS)
        self.engine: Engine = open_engine(f"sqlite:////{folder / 'clic-edge.sqlite'}")
        make_tables(self.engine)
        self.ledger = Ledger.on(self.engine)
        self.begin = datetime.now(UTC) - timedelta(days=20)
        log(self.engine, observations(400, begin=self.begin))

    def run(self, *words: str) -> str:
        """Run ``clic-edge drift`` and return what it printed, or the code of its error."""
        ran = CliRunner().invoke(app, ["-c", str(self.settings), "drift", *words])
        return ran.output if ran.exit_code == 0 else getattr(ran.exception, "code", ran.output)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(console.stdout, "width", 250)
    return Site(tmp_path)


@pytest.mark.slow
def test_a_shift_is_seen_told_answered_and_acknowledged(site: Site) -> None:
    assert "no reference yet" in site.run("status")
    frozen = site.run("reference", "--by", "Ida Fysiker", "--since", "4w", "--name", "spring")
    assert "SIEMENS / Skyra / E11" in frozen
    assert "all scanners" in frozen
    place = Placement(pipeline="organs", model_id="organs", version="1", digest="d" * 64)
    site.ledger.standing.enrol(place, [], decides=True)
    habit = Habit(shift={"input.noise": 2.0})
    log(site.engine, observations(60, begin=site.begin + 401 * STEP, habit=habit, seed=3))

    dry = site.run("evaluate", "--dry")
    assert "organs: shadow (nothing was done). input.noise rose to" in dry
    assert "organs is shadow" in site.run("evaluate")
    status = site.run("status", "--groups", "input.sex")
    assert "400 observations by Ida Fysiker; at most 12 false alarms a year" in status
    assert "ALARM" in status
    assert "The images changed while acquisition and output hold" in status
    assert "SIEMENS / Skyra / E11 by input.sex" in status
    assert "all numbers together: MMD²" in status
    assert "a classifier tells them apart with AUC" in status

    alarms = site.run("alarms")
    assert "action" in alarms
    (row,) = [line for line in alarms.splitlines() if "input.noise rose" in line]
    said = site.run("acknowledge", row.split()[0], "--by", "Ida", "--reason", "A new coil.")
    assert said.startswith("acknowledged: input.noise rose to")
    assert "Ida: A new coil." in site.run("alarms", "--all")
    assert "shadow" not in site.run("evaluate")


@pytest.mark.slow
def test_a_scanner_without_reference_is_compared_with_the_one_before(site: Site) -> None:
    site.run("reference", "--by", "Ida", "--since", "4w")
    stratum = Habit(shift={"input.noise": 2.0}).stratum
    updated = Habit(
        shift={"input.noise": 2.0},
        stratum=type(stratum)(manufacturer="SIEMENS", model_name="Skyra", software_versions="E12"),
    )
    log(site.engine, observations(40, begin=site.begin + 401 * STEP, habit=updated, seed=3))
    site.run("evaluate")
    assert "SIEMENS / Skyra / E12 has no reference" in site.run("alarms")
    status = site.run("status")
    assert "SIEMENS / Skyra / E12 has no reference: 40 studies so far." in status
    assert "input.noise" in status.partition("E12 has no reference")[2]


def test_a_model_must_be_named_where_there_are_two(site: Site) -> None:
    assert site.run("status", "--model", "lungs") == "nothing-predicted"
    assert site.run("reference", "--by", " ", "--since", "4w") == "reference-unsigned"
    assert site.run("reference", "--by", "Ida", "--since", "12h") == "reference-too-small"
    assert site.run("acknowledge", "x", "--by", "Ida", "--reason", "y") == "no-such-alarm"
