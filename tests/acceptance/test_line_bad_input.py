"""Bad input ends by name, nothing half-written leaves, and the next case runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bad_studies import BAD
from sites import hippocampus_study, ours_in, results_in, roots_in, texts_of

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from conftest import Holds
    from sites import Site

pytestmark = pytest.mark.servers
UNTOLD = {"no-pipeline"}
"""Nobody asked for an analysis, so nothing is said in the PACS."""


@pytest.fixture(scope="module")
def bad_studies(site: Site) -> dict[str, str]:
    """Return the handle of each bad study after all were sent, one close upon the other."""
    return {
        name: site.send(bad.datasets(300 + number))
        for number, (name, bad) in enumerate(BAD.items())
    }


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_by_name_and_nothing_of_it_leaves(
    site: Site, bad_studies: dict[str, str], name: str
) -> None:
    study_id, bad = bad_studies[name], BAD[name]
    case = site.await_case(study_id, CaseState.REFUSED, CaseState.QUARANTINED)
    assert (case.state, case.code) == (bad.state, bad.code)
    assert case.reason
    for server in (site.pacs, site.orthanc):
        assert results_in(server, study_id) == {}
    roots = roots_in(site.pacs, study_id)
    if case.state is CaseState.REFUSED and case.code not in UNTOLD:
        (root,) = roots
        assert f"Series 1: not analysed: {case.reason}" in texts_of(root)
    else:
        assert roots == []
        assert site.ledger.deliveries.results(case.case_id) == ()


def test_a_refusal_that_became_an_analysis_is_replaced(site: Site) -> None:
    datasets = hippocampus_study(322)
    study_id = site.send(datasets[:12] + datasets[13:])
    refused = site.await_case(study_id, CaseState.REFUSED)
    site.send(datasets[12:13])
    site.await_case(study_id, CaseState.DELIVERED)
    (old,) = site.ledger.deliveries.results(refused.case_id)
    newest = max(roots_in(site.pacs, study_id), key=lambda ds: "PredecessorDocumentsSequence" in ds)
    (study,) = newest.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.sop_instance_uid


def test_one_series_that_cannot_be_analysed_does_not_keep_the_other_from_it(site: Site) -> None:
    good, bad = hippocampus_study(323), hippocampus_study(323)
    for ds in bad:
        ds.SeriesInstanceUID += ".2"
        ds.SOPInstanceUID += ".2"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.SeriesNumber = 2
    study_id = site.send([*good, *bad[:12], *bad[13:]])
    site.await_case(study_id, CaseState.DELIVERED)
    assert len(results_in(site.pacs, study_id)) == 2
    (root,) = roots_in(site.pacs, study_id)
    said = texts_of(root)
    assert any(one.startswith("Series 1, Anterior hippocampus: ") for one in said)
    assert any(one.startswith("Series 2: not analysed: ") for one in said)


@pytest.mark.parametrize("broken", [1, 2])
def test_a_series_whose_result_cannot_be_made_does_not_keep_the_other_from_the_reader(
    site: Site, broken: int
) -> None:
    first, second = hippocampus_study(324 + broken), hippocampus_study(324 + broken)
    for ds in second:
        ds.SeriesInstanceUID += ".2"
        ds.SOPInstanceUID += ".2"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.SeriesNumber = 2
    for ds in (first, second)[broken - 1]:
        del ds.FrameOfReferenceUID
    study_id = site.send([*first, *second])
    case = site.await_case(study_id, CaseState.QUARANTINED)
    assert case.code == "no-frame-of-reference"
    assert len(results_in(site.pacs, study_id)) == 2
    (root,) = roots_in(site.pacs, study_id)
    said = texts_of(root)
    assert any(one.startswith(f"Series {3 - broken}, Anterior hippocampus: ") for one in said)
    assert f"Series {broken}: not analysed: {case.reason}" in said
    before = ours_in(site.pacs, study_id)
    site.ledger.cases.retry(case.case_id)
    again = site.await_case(study_id, CaseState.QUARANTINED)
    assert again.code == case.code
    assert ours_in(site.pacs, study_id) == before, "the same is said again"


def test_the_next_case_runs(site: Site, bad_studies: dict[str, str]) -> None:
    for study_id in bad_studies.values():
        site.await_case(study_id, CaseState.REFUSED, CaseState.QUARANTINED)
    _assert_the_next_case_runs(site, 320)


def test_a_refused_study_whose_missing_slice_comes_late_is_delivered(site: Site) -> None:
    datasets = hippocampus_study(321)
    study_id = site.send(datasets[:12] + datasets[13:])
    site.await_case(study_id, CaseState.REFUSED)
    site.send(datasets[12:13])
    site.await_case(study_id, CaseState.DELIVERED)
    assert len(results_in(site.pacs, study_id)) == 2


@pytest.mark.parametrize(("number", "stage"), [(0, "predict"), (1, "write"), (2, "deliver")])
def test_a_study_that_is_deleted_while_it_runs_is_refused(
    site: Site, holds: Holds, number: int, stage: str
) -> None:
    with holds.before(stage, lambda: site.send(hippocampus_study(330 + number))) as study_id:
        site.orthanc.delete(f"/studies/{study_id}")
    case = site.await_case(study_id, CaseState.REFUSED)
    assert case.code == "study-gone"
    assert results_in(site.pacs, study_id) == {}
    assert results_in(site.orthanc, study_id) == {}
    _assert_the_next_case_runs(site, 340 + number)


def test_a_model_whose_file_changed_is_not_run_until_it_is_as_it_was(
    site: Site, holds: Holds
) -> None:
    weights = site.options.models / "hippocampus" / "model.onnx"
    good = weights.read_bytes()
    with holds.before("predict", lambda: site.send(hippocampus_study(350))) as study_id:
        weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    case = site.await_case(study_id, CaseState.QUARANTINED)
    assert case.code == "model-changed"
    assert not [
        row for row in site.ledger.predictions.rows(case.received_at) if row.case_id == case.case_id
    ]
    assert results_in(site.pacs, study_id) == {}
    weights.write_bytes(good)
    _assert_the_next_case_runs(site, 351)
    site.ledger.cases.retry(case.case_id)
    site.await_case(study_id, CaseState.DELIVERED)
    assert len(results_in(site.pacs, study_id)) == 2


def _assert_the_next_case_runs(site: Site, number: int) -> None:
    study_id = site.send(hippocampus_study(number))
    site.await_case(study_id, CaseState.DELIVERED)
    assert len(results_in(site.pacs, study_id)) == 2
