"""A worker killed anywhere on the line, and started again, leaves no trace of that in the results."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from factories import Stack, make_datasets
from ledgers import make_tables
from model_packages import known_labels, volume_of, write_package
from pydicom import dcmread
from servers import PostgresServer, wait_for
from sites import Site, SiteOptions, ours_in, patient, running_site

from clic_edge.assembly import build_line
from clic_edge.config import load_pipelines, load_settings
from clic_edge.deid.certificate import public_key
from clic_edge.deid.series_certificate import is_signed_by
from clic_edge.domain.case import CaseState
from clic_edge.ledger import Ledger
from clic_edge.ledger.database import open_engine
from clic_edge.ledger.schema import cases
from clic_edge.pacs.orthanc import OrthancArchive
from clic_edge.pacs.rest import HttpRest, OrthancPeer
from clic_edge.pipeline.intake import propose
from clic_edge.pipeline.process import STAGES, directly, process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.domain.case import Case
    from clic_edge.pipeline.line import Line

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

POINTS = (
    "accept: not begun",
    *(f"{stage.__name__}: {when}" for stage in STAGES for when in ("done", "remembered")),
    "predict: not logged",
    "write: not kept",
    "write: half kept",
    "write: not recorded",
    "deliver: half sent",
    "deliver: not receipted",
)
LIVES_SECONDS = 400
"""For all deaths together; far more than they take."""


@dataclass(frozen=True, kw_only=True)
class Aftermath:
    """What is left when a worker was killed at every point, in another case each."""

    site: Site
    case_ids: dict[str, str]
    """By point."""
    scars: Path
    line: Line
    """Of another appliance, on the same archive, in which nothing has happened."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def aftermath(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Aftermath]:
    folder = tmp_path_factory.mktemp("crash")
    write_package(folder / "models" / "hippocampus")
    database = ""
    if request.param == "postgresql":
        database = _new_database(request.getfixturevalue("postgres"))
    # One at a time: one beside which the worker dies three times would be tried alone, and die of it.
    options = SiteOptions(
        database=database, models=folder / "models", unsigned=True, concurrent_cases=1
    )
    with running_site(folder / "site", options) as site:
        rest = HttpRest(OrthancPeer(url=site.orthanc.url))
        archive = OrthancArchive(rest)
        case_ids = {point: _sent(site, archive, number) for number, point in enumerate(POINTS)}
        scars = folder / "scars"
        scars.mkdir()
        _die_everywhere(site, {case_id: point for point, case_id in case_ids.items()}, scars)
        with site.worker():
            wait_for(lambda: not site.ledger.cases.under_way(), "every case ends", LIVES_SECONDS)
        yield Aftermath(
            site=site, case_ids=case_ids, scars=scars, line=_line_of_another(site, archive)
        )
        rest.close()


def _new_database(server: PostgresServer) -> str:
    engine = sa.create_engine(server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE crash"))
    engine.dispose()
    return server.url.rpartition("/")[0] + "/crash"


def _sent(site: Site, archive: OrthancArchive, number: int) -> str:
    """Send a study while there is no worker; return the case that it will be."""
    voxels = volume_of(known_labels()).voxels
    stack = Stack(patient=patient(number), description="Hippocampus")
    study_id = site.send(make_datasets(stack, voxels))
    pipelines = load_pipelines(site.folder / "pipelines")
    (admission,) = propose(archive.study(study_id), pipelines)
    return admission.case_id


def _die_everywhere(site: Site, points: dict[str, str], scars: Path) -> None:
    asked = site.folder / "points.json"
    asked.write_text(json.dumps(points))
    script = Path(__file__).with_name("dying_worker.py")
    with site.log.open("ab") as log:
        subprocess.run(
            [sys.executable, script, site.settings, asked, scars],
            check=True,
            stdout=log,
            stderr=log,
            timeout=LIVES_SECONDS,
            env=site.environment,
        )


@pytest.mark.parametrize("point", POINTS)
def test_a_case_whose_worker_was_killed_ends_once_with_the_results_of_an_uninterrupted_run(
    aftermath: Aftermath, point: str
) -> None:
    site, case_id = aftermath.site, aftermath.case_ids[point]
    assert (aftermath.scars / case_id).read_text() == point
    ledger, case = site.ledger, site.ledger.cases.case(case_id)
    assert case.state is CaseState.DELIVERED
    assert site.cases(case.study_id) == (case,)
    ends = [event.action for event in ledger.records.audit(case_id)]
    assert ends.count("delivered") == 1

    rows = ledger.predictions.rows(case.received_at)
    assert [row.case_id for row in rows].count(case_id) == 1
    receipts = ledger.deliveries.receipts(case_id)
    assert [(one.destination, one.status) for one in receipts] == [("pacs", "0x0000")] * 3

    kept, sent = (ours_in(server, case.study_id) for server in (site.orthanc, site.pacs))
    assert sorted(kept) == sorted(sent) == sorted(one.sop_instance_uid for one in receipts)
    assert {uid: sha256(content).hexdigest() for uid, content in kept.items()} == (
        _uninterrupted(aftermath, case)
    )
    (cleaned,) = ledger.certificates.of_case(case_id)
    (same,) = aftermath.line.ledger.certificates.of_case(case_id)
    assert is_signed_by(cleaned, public_key(aftermath.line.key))
    assert replace(cleaned, made_at="", signature="") == replace(same, made_at="", signature="")
    for uid, content in kept.items():
        assert dcmread(BytesIO(sent[uid])) == dcmread(BytesIO(content))


def _line_of_another(site: Site, archive: OrthancArchive) -> Line:
    settings = load_settings(site.settings)
    engine = open_engine("sqlite://")
    make_tables(engine)
    pipelines = load_pipelines(settings.appliance.pipelines)
    return build_line(settings, pipelines, archive=archive, ledger=Ledger.on(engine))


def _uninterrupted(aftermath: Aftermath, case: Case) -> dict[str, str]:
    """Return the digests of the results when the same case runs in one go, with nothing to find."""
    line, pipelines = aftermath.line, load_pipelines(aftermath.site.folder / "pipelines")
    ledger = line.ledger
    (admission,) = propose(line.archive.study(case.study_id), pipelines)
    assert ledger.cases.admit(admission).case_id == case.case_id
    with ledger.cases._engine.begin() as connection:
        this = cases.c.case_id == case.case_id
        connection.execute(cases.update().where(this).values(started_at=case.started_at))
    assert process(case.case_id, 0, line=line, step=directly) is CaseState.DELIVERED
    return {row.sop_instance_uid: row.digest for row in ledger.deliveries.results(case.case_id)}
