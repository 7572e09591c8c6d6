"""A PACS that is away or says no: results wait, arrive once, and hold up nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faulty_pacs import AE_TITLE, Fault, faulty_pacs
from pynetdicom.sop_class import SegmentationStorage
from servers import free_port, wait_for
from sites import (
    NEVER,
    Site,
    SiteOptions,
    dimse_toml,
    hippocampus_study,
    pipeline_toml,
    results_in,
    running_site,
)

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faulty_pacs import FaultyPacs

    from clic_edge.domain.case import Case

pytestmark = pytest.mark.servers
OFTEN_DOWN = free_port()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site with a PACS that is up, and one that each test starts as it needs."""
    options = SiteOptions(
        pipelines={
            "steady": pipeline_toml("steady", description='"steady"'),
            "away": pipeline_toml("away", description='"away"', destinations='["away"]'),
            "both": pipeline_toml("both", description='"both"', destinations='["away", "pacs"]'),
            "web": pipeline_toml("web", description='"web"', destinations='["web"]'),
        },
        destinations=dimse_toml("away", OFTEN_DOWN, AE_TITLE),
        reconcile_seconds=NEVER,
    )
    with running_site(tmp_path_factory.mktemp("delivery"), options) as site, site.worker():
        yield site


def test_results_go_out_by_stow_rs(site: Site) -> None:
    study_id = site.send(hippocampus_study(201, description="web"))
    case = site.await_case(study_id, CaseState.DELIVERED)
    assert len(results_in(site.pacs, study_id)) == 2
    assert [receipt.status for receipt in site.ledger.deliveries.receipts(case.case_id)] == [
        "HTTP 200"
    ] * 3


def test_a_case_waits_while_its_pacs_is_down_others_go_on_and_it_is_delivered_once(
    site: Site,
) -> None:
    study_id = site.send(hippocampus_study(202, description="away"))
    case = site.await_case(study_id, CaseState.WAITING)
    assert case.code == "destination-unreachable"
    assert case.next_attempt_at is not None
    assert case.reason == f"Nothing answers at 127.0.0.1:{OFTEN_DOWN}."
    other = site.send(hippocampus_study(203, description="steady"))
    site.await_case(other, CaseState.DELIVERED)
    assert not site.ledger.cases.case(case.case_id).state.is_end
    with faulty_pacs(Fault(), OFTEN_DOWN) as pacs:
        site.await_case(study_id, CaseState.DELIVERED)
    assert _received(pacs) == _results(site, case)
    rows = site.ledger.predictions.rows(case.received_at)
    assert [row.case_id for row in rows].count(case.case_id) == 1


def test_one_of_two_destinations_that_is_down_does_not_keep_results_from_the_other(
    site: Site,
) -> None:
    study_id = site.send(hippocampus_study(204, description="both"))
    case = _await_told(site, study_id, "Nothing answers at")
    assert len(results_in(site.pacs, study_id)) == 2, "the other has the results"
    with faulty_pacs(Fault(), OFTEN_DOWN) as pacs:
        site.await_case(study_id, CaseState.DELIVERED)
    assert _received(pacs) == _results(site, case)
    receipts = site.ledger.deliveries.receipts(case.case_id)
    assert [(receipt.destination, receipt.accepted) for receipt in receipts] == [
        *[("away", True)] * 3,
        *[("pacs", True)] * 3,
    ]


def test_only_what_the_pacs_rejected_is_sent_again(site: Site) -> None:
    with faulty_pacs(Fault(statuses=(0x0000, 0xA900, 0xA900)), OFTEN_DOWN) as rejecting:
        study_id = site.send(hippocampus_study(205, description="away"))
        case = _await_told(site, study_id, "away took 1 of 3 objects (0xA900).")
    with faulty_pacs(Fault(), OFTEN_DOWN) as pacs:
        site.await_case(study_id, CaseState.DELIVERED)
    assert [ds.SOPClassUID for ds in rejecting.received][:1] == [SegmentationStorage]
    assert len(pacs.received) == 2
    assert {rejecting.received[0].SOPInstanceUID, *_received(pacs)} == {*_results(site, case)}


def test_a_pacs_that_is_out_of_resources_is_asked_again_until_it_has_some(site: Site) -> None:
    with faulty_pacs(Fault(statuses=(0xA700, 0xA700, 0xA700, 0x0000)), OFTEN_DOWN) as pacs:
        study_id = site.send(hippocampus_study(206, description="away"))
        case = site.await_case(study_id, CaseState.DELIVERED)
    assert _received(pacs)[3:] == _results(site, case)
    assert case.attempt >= 1


def test_an_association_that_the_pacs_aborts_is_tried_again(site: Site) -> None:
    with faulty_pacs(Fault(abort_at=1), OFTEN_DOWN) as aborting:
        study_id = site.send(hippocampus_study(207, description="away"))
        case = _await_told(site, study_id, "association ended")
    with faulty_pacs(Fault(), OFTEN_DOWN) as pacs:
        site.await_case(study_id, CaseState.DELIVERED)
    assert [*_received(aborting)[:1], *_received(pacs)] == _results(site, case)


def test_a_pacs_that_does_not_know_us_is_tried_again(site: Site) -> None:
    with faulty_pacs(Fault(refuse_association=True), OFTEN_DOWN):
        study_id = site.send(hippocampus_study(208, description="away"))
        case = _await_told(site, study_id, "it is not called by that AE title.")
    with faulty_pacs(Fault(), OFTEN_DOWN) as pacs:
        site.await_case(study_id, CaseState.DELIVERED)
    assert _received(pacs) == _results(site, case)


def _await_told(site: Site, study_id: str, words: str) -> Case:
    """Return the study's case once it has waited for a reason with these words.

    It may be running again, and have waited for another reason since.
    """

    def told() -> list[Case]:
        audit = site.ledger.records.audit
        return [
            case
            for case in site.cases(study_id)
            for event in audit(case.case_id)
            if event.action == "waiting" and words in event.detail
        ]

    wait_for(told, f"the case waits, and says: {words}")
    return told()[0]


def _received(pacs: FaultyPacs) -> list[str]:
    return [str(ds.SOPInstanceUID) for ds in pacs.received]


def _results(site: Site, case: Case) -> list[str]:
    return [row.sop_instance_uid for row in site.ledger.deliveries.results(case.case_id)]
