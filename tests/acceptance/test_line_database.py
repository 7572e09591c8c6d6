"""PostgreSQL hangs, or goes away in the middle of a case: everything goes on when it is back."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from servers import POSTGRES_BINARIES, PostgresServer, postgres_server, require, wait_for
from sites import Site, SiteOptions, hippocampus_study, pipeline_toml, results_in, running_site

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Holds

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Return a PostgreSQL of this module's own, to be maltreated."""
    with postgres_server() as server:
        yield server
        _pg_ctl(server, "stop", "-m", "immediate")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Site]:
    """Return a site on PostgreSQL, whose worker can be held."""
    folder = tmp_path_factory.mktemp("database")
    (folder / "holds").mkdir()
    pipelines = {"hippocampus": pipeline_toml(quiet_seconds="1")}
    options = SiteOptions(database=postgres.url, pipelines=pipelines)
    with running_site(folder / "site", options) as site:
        script = Path(__file__).with_name("held_worker.py")
        with site.worker(script=(str(script), str(site.settings), str(folder / "holds"))):
            yield site


def test_orthanc_goes_on_while_the_database_hangs_and_the_studies_are_taken_once(
    site: Site, postgres: PostgresServer
) -> None:
    site.await_case(site.send(hippocampus_study(501)), CaseState.DELIVERED)
    before = site.orthanc.get("/statistics")["CountStudies"]
    with _frozen(postgres):
        studies = [site.send(hippocampus_study(number)) for number in (502, 503)]
        for study_id in studies:
            wait_for(lambda of=study_id: site.orthanc.get(f"/studies/{of}")["IsStable"], "stable")
        assert site.orthanc.get("/statistics")["CountStudies"] == before + 2
    for study_id in studies:
        _assert_delivered_once(site, study_id)


def test_a_case_whose_database_goes_away_in_the_middle_is_delivered_once_when_it_is_back(
    site: Site, postgres: PostgresServer, holds: Holds
) -> None:
    with holds.before("write", lambda: site.send(hippocampus_study(504))) as study_id:
        _pg_ctl(postgres, "stop", "-m", "immediate")
    assert site.ask(study_id).status_code == httpx.codes.SERVICE_UNAVAILABLE
    wait_for(lambda: '"database-away"' in site.log.read_text(), "the worker notices")
    late = site.send(hippocampus_study(505))
    options = f"-k {postgres.folder} -p {postgres.port} -c listen_addresses=127.0.0.1"
    _pg_ctl(postgres, "start", "-o", options)
    for one in (study_id, late):
        _assert_delivered_once(site, one)


def _pg_ctl(postgres: PostgresServer, *arguments: str) -> None:
    program = require("pg_ctl", POSTGRES_BINARIES)
    as_user = [require("runuser"), "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run(
        [*as_user, program, "-D", str(postgres.folder / "cluster"), *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
    )


def _assert_delivered_once(site: Site, study_id: str) -> None:
    case = site.await_case(study_id, CaseState.DELIVERED)
    wait_for(
        lambda: (
            {one.state for one in site.cases(study_id) if one.case_id != case.case_id}
            <= {CaseState.SUPERSEDED}
        ),
        "cases of the study when it was half here end",
    )
    assert len(results_in(site.pacs, study_id)) == 2
    rows = site.ledger.predictions.rows(case.received_at)
    assert [row.case_id for row in rows].count(case.case_id) == 1


@contextmanager
def _frozen(postgres: PostgresServer) -> Iterator[None]:
    """Let PostgreSQL take connections and never answer."""
    pid_file = postgres.folder / "cluster" / "postmaster.pid"
    group = os.getpgid(int(pid_file.read_text().split()[0]))
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)
