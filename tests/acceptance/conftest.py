"""One site for the tests that can share it; each has a study, and a pipeline, of its own."""

from __future__ import annotations

import secrets
import shutil
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers import wait_for
from sites import CASE_SECONDS, ROOT, Site, SiteOptions, pipeline_toml, running_site

from clic_edge.cli import console, main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a running site; series are named after the pipeline that is to take them."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "models" / "hippocampus", folder / "models" / "hippocampus")
    options = SiteOptions(
        pipelines={
            "hippocampus": pipeline_toml(quiet_seconds="1"),
            "quiet": pipeline_toml("quiet", description='"quiet"', quiet_seconds="2"),
            "patient": pipeline_toml("patient", description='"patient"', quiet_seconds="3600"),
            "counted": pipeline_toml("counted", 'expected_from = "pacs"', description='"counted"'),
        },
        models=folder / "models",
    )
    (folder / "holds").mkdir()
    with running_site(folder / "site", options) as site:
        script = Path(__file__).with_name("held_worker.py")
        command = (str(script), str(site.settings), str(folder / "holds"))
        with site.worker(script=command):
            yield site


@dataclass(frozen=True)
class Holds:
    """What keeps cases before a stage, as `held_worker` reads it."""

    folder: Path

    @contextmanager
    def before(self, stage: str, study: Callable[[], str]) -> Iterator[str]:
        """Send a study, and yield its handle while its case is kept before the stage."""
        hold, sign = self.folder / stage, self.folder / f"{secrets.token_hex(8)}.held"
        # In one step: a worker that read a part of it would give another sign.
        asked = self.folder / "asked"
        asked.write_text(sign.name)
        asked.replace(hold)
        study_id = study()
        wait_for(sign.exists, f"the case comes to {stage}", CASE_SECONDS)
        yield study_id
        hold.unlink()


@pytest.fixture
def holds(site: Site) -> Holds:
    """Return what keeps the site's cases before a stage."""
    return Holds(site.folder.parent / "holds")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class ClicEdge:
    """The command line, run in this process: a new one takes seconds to load."""

    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *arguments: str | Path) -> Answer:
        """Run one command as a person does."""
        self.monkeypatch.setattr(sys, "argv", ["clic-edge", *map(str, arguments)])
        self.monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the command puts its own
        self.capture.readouterr()
        code: object = 0
        with warnings.catch_warnings():
            try:
                main()
            except SystemExit as ended:
                code = ended.code
        out, err = self.capture.readouterr()
        return Answer(code=int(code or 0), out=out, err=err)


@pytest.fixture
def clic_edge(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> ClicEdge:
    """Return the command line, on a terminal that is wide enough for its tables."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(console.stdout, "width", 400)  # it may have been made before
    return ClicEdge(capture=capfd, monkeypatch=monkeypatch)
