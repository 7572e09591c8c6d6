"""How a study comes to its case: the plugin's event, a person's request, the reconciler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from factories import Stack, make_datasets
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from servers import OrthancOptions, OrthancServer, orthanc_server, wait_for
from sites import (
    NEVER,
    Site,
    SiteOptions,
    appliance_orthanc,
    hippocampus,
    hippocampus_study,
    patient,
    pipeline_toml,
    plan_site,
    results_in,
    running_site,
)

from clic_edge.domain.case import CaseState
from clic_edge.pipeline.reconcile import CURSOR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site whose worker looks into the change log at its start only."""
    options = SiteOptions(
        pipelines={
            "first": pipeline_toml("first"),
            "patient": pipeline_toml("patient", description='"wait"', quiet_seconds="3600"),
            "second": pipeline_toml("second", description='"both"'),
        },
        reconcile_seconds=NEVER,
    )
    with running_site(tmp_path_factory.mktemp("eventful"), options) as site, site.worker():
        yield site


@pytest.fixture(scope="module")
def pacs() -> Iterator[OrthancServer]:
    """Return a PACS for sites that a test starts by itself."""
    with orthanc_server(OrthancOptions(ae_title="PACS")) as server:
        yield server


def test_a_study_that_comes_by_c_store_leaves_as_seg_and_sr_in_the_pacs(eventful: Site) -> None:
    study_id = eventful.send(hippocampus_study(1))
    case = eventful.await_case(study_id, CaseState.DELIVERED)
    assert eventful.cases(study_id) == (case,)
    results = [dcmread(DicomBytesIO(file)) for file in results_in(eventful.pacs, study_id).values()]
    assert sorted(ds.Modality for ds in results) == ["SEG", "SR"]
    assert {str(ds.PatientName) for ds in results} == {patient(1).name}


def test_each_of_two_pipelines_gives_a_case_and_its_results(eventful: Site) -> None:
    study_id = eventful.send(hippocampus_study(2, description="Hippocampus, both"))
    for pipeline in ("first", "second"):
        eventful.await_case(study_id, CaseState.DELIVERED, pipeline=pipeline)
    assert len(eventful.cases(study_id)) == 2
    assert len(results_in(eventful.pacs, study_id)) == 4


def test_a_person_runs_a_waiting_study_now_and_asking_twice_is_one_case(eventful: Site) -> None:
    study_id = eventful.send(hippocampus_study(3, description="wait"))
    waiting = eventful.await_case(study_id, CaseState.WAITING)
    (shown,) = eventful.ask(study_id).json()["cases"]
    assert shown["case"]["code"] == "study-growing"
    assert shown["case"]["reason"] == waiting.reason
    for _ in range(2):
        (shown,) = eventful.ask(study_id, "POST").json()["cases"]
        assert shown["case"]["case_id"] == waiting.case_id
    delivered = eventful.await_case(study_id, CaseState.DELIVERED)
    (shown,) = eventful.ask(study_id).json()["cases"]
    assert shown["case"]["state"] == "delivered"
    assert [stage for stage, _ in shown["stages"]]
    assert [receipt["accepted"] for receipt in shown["receipts"]] == [True, True, True]
    assert eventful.cases(study_id) == (delivered,)


def test_a_person_runs_a_study_at_once_that_no_event_told_of(eventful: Site) -> None:
    datasets = hippocampus_study(4, description="wait")
    study_id = eventful.send(datasets)
    assert eventful.ask(study_id, "POST").status_code == httpx.codes.OK
    eventful.await_case(study_id, CaseState.DELIVERED)


def test_the_reasons_for_a_series_that_is_not_taken_are_shown_without_its_words(
    eventful: Site,
) -> None:
    stack = Stack(patient=patient(5), description="Kneecap")
    study_id = eventful.send(make_datasets(stack, hippocampus()))
    case = eventful.await_case(study_id, CaseState.REFUSED)
    assert case.code == "no-pipeline"
    for name in ("first", "patient", "second"):
        assert f"{name}: 1 of 1 series: " in case.reason
    answer = eventful.ask(study_id)
    assert {one["pipeline"] for one in answer.json()["series"] if not one["taken"]} == {
        "first",
        "patient",
        "second",
    }
    assert "Kneecap" not in answer.text


def test_a_study_that_is_not_there_is_answered_with_404(eventful: Site) -> None:
    nowhere = "-".join(["0" * 8] * 5)
    for method in ("GET", "POST"):
        answer = eventful.ask(nowhere, method)
        assert answer.status_code == httpx.codes.NOT_FOUND
        assert "deleted" in answer.text
    assert eventful.ask(nowhere, "PUT").status_code == httpx.codes.METHOD_NOT_ALLOWED


def test_orthanc_explorer_has_the_button(eventful: Site) -> None:
    script = httpx.get(f"{eventful.orthanc.url}/plugins/explorer.js", trust_env=False).text
    assert "clic-edge: analyse now" in script


def test_what_we_wrote_ourselves_starts_no_case(eventful: Site) -> None:
    study_id = eventful.send(hippocampus_study(6))
    case = eventful.await_case(study_id, CaseState.DELIVERED)
    eventful.orthanc.delete(f"/studies/{study_id}")
    for content in results_in(eventful.pacs, study_id).values():
        eventful.orthanc.post("/instances", content)
    _await_stable(eventful.orthanc, [study_id])
    # Events are taken in order: when this one has its case, the one before was looked at.
    eventful.await_case(eventful.send(hippocampus_study(7)), CaseState.DELIVERED)
    assert eventful.ask(study_id, "POST").is_success
    assert eventful.cases(study_id) == (case,)


def test_studies_that_no_event_told_of_are_taken_once(tmp_path: Path, pacs: OrthancServer) -> None:
    away = tmp_path / "not-mounted" / "clic-edge.sqlite"
    site = plan_site(tmp_path / "site", SiteOptions(database=f"sqlite:///{away}"), pacs)
    with appliance_orthanc(site, plugin=False):
        without_plugin = site.send(hippocampus_study(21))
    with appliance_orthanc(site) as orthanc:
        without_database = site.send(hippocampus_study(22))
        _await_warning(orthanc)
        for method in ("GET", "POST"):
            answer = site.ask(without_database, method)
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
            assert "no study is lost" in answer.text
        away.parent.mkdir()
        with site.worker():
            site.await_case(without_plugin, CaseState.DELIVERED)
            site.await_case(without_database, CaseState.DELIVERED)
        without_worker = site.send(hippocampus_study(23))
        site.await_case(without_worker, CaseState.RECEIVED)
        site.send(hippocampus_study(22))  # comes once more
        with site.worker():
            site.await_case(without_worker, CaseState.DELIVERED)
            _await_end_of_changes(site)
    for study_id in (without_plugin, without_database, without_worker):
        assert len(site.cases(study_id)) == 1
        assert len(results_in(pacs, study_id)) == 2


def _await_stable(orthanc: OrthancServer, studies: list[str]) -> None:
    """Wait until Orthanc has told, as often as it will, that the studies are stable."""

    def stable() -> bool:
        return all(orthanc.get(f"/studies/{study_id}")["IsStable"] for study_id in studies)

    wait_for(stable, "the studies are stable")


def _await_end_of_changes(site: Site) -> None:
    """Wait until every study is stable and the worker has read all that was told of them."""
    _await_stable(site.orthanc, site.orthanc.get("/studies"))

    def read() -> bool:
        last = site.orthanc.get("/changes?last")["Last"]
        return site.ledger.records.cursor(CURSOR) >= last

    wait_for(read, "the change log is read to its end")


def _await_warning(orthanc: OrthancServer) -> None:
    wait_for(
        lambda: b"the worker will find it" in orthanc.log_path.read_bytes(),
        "the plugin says that it could not queue the study",
    )
