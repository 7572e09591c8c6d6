"""A study that is still growing waits, and late images give a case on the whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import MRImageStorage
from servers import send_datasets, wait_for
from sites import CASE_SECONDS, hippocampus_study, results_in

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from conftest import Holds
    from pydicom.dataset import Dataset
    from sites import Site

    from clic_edge.domain.case import Case

pytestmark = pytest.mark.servers


def test_a_study_is_taken_when_the_quiet_period_is_over(site: Site) -> None:
    study_id = site.send(hippocampus_study(101, description="quiet"))
    case = site.await_case(study_id, CaseState.DELIVERED)
    assert _predicted_at(site, case) >= _last_arrival(site, study_id) + timedelta(seconds=2)
    # A worker that looks first when the quiet period is over has nothing to wait for.
    waits = [e.detail for e in site.ledger.records.audit(case.case_id) if e.action == "waiting"]
    assert all("the rule waits for 2 s of quiet" in wait for wait in waits)
    assert _slices_behind_results(site, study_id) == [24, 24]


def test_a_study_in_its_quiet_period_waits_and_says_until_when(site: Site) -> None:
    study_id = site.send(hippocampus_study(102, description="patient"))
    case = site.await_case(study_id, CaseState.WAITING)
    assert case.code == "study-growing"
    assert case.next_attempt_at is not None
    assert 3000 < (case.next_attempt_at - case.updated_at).total_seconds() <= 3600
    assert results_in(site.pacs, study_id) == {}


def test_a_study_waits_for_as_many_instances_as_the_pacs_reports(site: Site) -> None:
    datasets = hippocampus_study(103, description="counted")
    send_datasets(datasets, site.pacs)
    study_id = site.send(datasets[:23])
    reason = "23 of the 24 instances that the PACS reports are here."
    wait_for(lambda: reason in {case.reason for case in site.cases(study_id)}, reason, CASE_SECONDS)
    assert site.cases(study_id)[-1].code == "study-incomplete"
    site.send(datasets[23:])
    site.await_case(study_id, CaseState.DELIVERED)
    _assert_the_last_took_the_place_of_the_others(site, study_id)
    assert _slices_behind_results(site, study_id) == [24, 24]


def test_a_series_that_grows_while_its_case_runs_is_run_again_on_the_whole(
    site: Site, holds: Holds
) -> None:
    datasets = hippocampus_study(104)
    with holds.before("deliver", lambda: site.send(datasets[:23])) as study_id:
        site.send(datasets[23:])
    site.await_case(study_id, CaseState.DELIVERED)
    _assert_the_last_took_the_place_of_the_others(site, study_id)
    assert _slices_behind_results(site, study_id) == [24, 24]


def test_images_that_come_after_delivery_supersede_the_case_and_add_one_set_of_results(
    site: Site,
) -> None:
    datasets = hippocampus_study(105)
    study_id = site.send(datasets[:23])
    first = site.await_case(study_id, CaseState.DELIVERED)
    site.send(datasets[23:])
    wait_for(
        lambda: len(results_in(site.pacs, study_id)) == 4, "the whole has its results", CASE_SECONDS
    )
    whole = site.await_case(study_id, CaseState.DELIVERED)
    assert whole.case_id != first.case_id
    _assert_the_last_took_the_place_of_the_others(site, study_id)
    assert _slices_behind_results(site, study_id) == [23, 23, 24, 24]


def _predicted_at(site: Site, case: Case) -> datetime:
    rows = site.ledger.predictions.rows(datetime.min.replace(tzinfo=UTC))
    (predicted,) = (row.created_at for row in rows if row.case_id == case.case_id)
    return predicted


def _last_arrival(site: Site, study_id: str) -> datetime:
    """Return the second in which the last image came, as the appliance's Orthanc says.

    Its clock for the whole study goes on with the results, which are kept there too.
    """
    url = f"{site.orthanc.url}/studies/{study_id}/series"
    (last,) = (
        series["LastUpdate"]
        for series in httpx.get(url, trust_env=False).json()
        if series["MainDicomTags"]["Modality"] == "MR"
    )
    return datetime.strptime(f"{last}+0000", "%Y%m%dT%H%M%S%z")


def _assert_the_last_took_the_place_of_the_others(site: Site, study_id: str) -> None:
    """While a study comes in, it may be seen half: each half has a case that ends superseded."""

    def superseded() -> bool:
        *earlier, last = (case.state for case in site.cases(study_id))
        assert last is CaseState.DELIVERED
        return bool(earlier) and set(earlier) == {CaseState.SUPERSEDED}

    wait_for(superseded, "the earlier cases end as superseded", CASE_SECONDS)


def _slices_behind_results(site: Site, study_id: str) -> list[int]:
    """Return for each result in the PACS how many images it says that it was made from."""
    results = [dcmread(BytesIO(file)) for file in results_in(site.pacs, study_id).values()]
    return sorted(_seg_sources(ds) if ds.Modality == "SEG" else _sr_sources(ds) for ds in results)


def _seg_sources(seg: Dataset) -> int:
    return sum(len(series.ReferencedInstanceSequence) for series in seg.ReferencedSeriesSequence)


def _sr_sources(sr: Dataset) -> int:
    return sum(
        instance.ReferencedSOPClassUID == MRImageStorage
        for study in sr.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    )
