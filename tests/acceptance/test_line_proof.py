"""A case is delivered when each PACS that can be asked holds what it accepted."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from faulty_pacs import AE_TITLE, Commitment, Fault, faulty_pacs
from servers import free_port, wait_for
from sites import (
    CASE_SECONDS,
    NEVER,
    Site,
    SiteOptions,
    dimse_toml,
    hippocampus_study,
    pipeline_toml,
    running_site,
)

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clic_edge.domain.case import Case

pytestmark = pytest.mark.servers
COMMITTING, TARDY, REPORTS, QUERIED = (free_port() for _ in range(4))
PATIENT, HASTY = 120, 0.5
"""Seconds for a report: more than it takes on a busy machine, and less than a test keeps it back."""
COMMITS = """
[commitment]
way = "own-association"
port = {port}
timeout_s = {timeout_s}
"""
PROFILES = {
    "commits": COMMITS.format(port=REPORTS, timeout_s=PATIENT),
    "tardy": COMMITS.format(port=REPORTS, timeout_s=HASTY),
    "asked": 'confirm = "c-find"\n',
}


def _destination(folder: Path, name: str, port: int) -> str:
    path = folder / f"{name}.toml"
    path.write_text(PROFILES[name])
    return dimse_toml(name, port, AE_TITLE) + f'profile = "{path}"\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site with a PACS that commits itself, and one that is queried."""
    profiles = tmp_path_factory.mktemp("profiles")
    options = SiteOptions(
        pipelines={
            "commits": pipeline_toml(
                "commits", description='"commits"', destinations='["commits"]'
            ),
            "tardy": pipeline_toml("tardy", description='"tardy"', destinations='["tardy"]'),
            "asked": pipeline_toml("asked", description='"asked"', destinations='["asked"]'),
        },
        destinations=_destination(profiles, "commits", COMMITTING)
        + _destination(profiles, "tardy", TARDY)
        + _destination(profiles, "asked", QUERIED),
        reconcile_seconds=NEVER,
    )
    with running_site(tmp_path_factory.mktemp("proof"), options) as site, site.worker():
        yield site


def _statuses(site: Site, case: Case) -> set[str]:
    return {receipt.status for receipt in site.ledger.deliveries.receipts(case.case_id)}


def test_a_case_is_delivered_when_the_pacs_has_committed_itself(site: Site) -> None:
    fault = Fault(commitment=Commitment(report_port=REPORTS))
    with faulty_pacs(fault, COMMITTING) as pacs:
        study_id = site.send(hippocampus_study(401, description="commits"))
        case = site.await_case(study_id, CaseState.DELIVERED)
    assert _statuses(site, case) == {"commitment: committed"}
    assert len(pacs.requests) == 1


def test_what_a_pacs_lost_is_sent_again_until_it_holds_it(site: Site) -> None:
    fault = Fault(loses=frozenset({0}), commitment=Commitment(report_port=REPORTS))
    with faulty_pacs(fault, COMMITTING) as pacs:
        study_id = site.send(hippocampus_study(402, description="commits"))
        case = site.await_case(study_id, CaseState.DELIVERED)
    assert case.attempt >= 1
    sent = [ds.SOPInstanceUID for ds in pacs.received]
    assert len(sent) == len(set(sent)) + 1
    assert sent[-1] == sent[0]
    assert _statuses(site, case) == {"commitment: committed"}


def test_a_report_that_does_not_come_keeps_the_case_waiting_and_a_late_one_counts(
    site: Site,
) -> None:
    time = threading.Event()
    fault = Fault(commitment=Commitment(report_port=REPORTS, after=time))
    with faulty_pacs(fault, TARDY) as pacs:
        study_id = site.send(hippocampus_study(403, description="tardy"))
        wait_for(
            lambda: any(case.code == "commitment-pending" for case in site.cases(study_id)),
            "the case waits for the report",
            CASE_SECONDS,
        )
        time.set()
        case = site.await_case(study_id, CaseState.DELIVERED)
    assert _statuses(site, case) == {"commitment: committed"}
    assert len({ds.SOPInstanceUID for ds in pacs.received}) == len(pacs.received)


def test_a_pacs_without_storage_commitment_is_queried(site: Site) -> None:
    with faulty_pacs(Fault(loses=frozenset({1})), QUERIED) as pacs:
        study_id = site.send(hippocampus_study(404, description="asked"))
        case = site.await_case(study_id, CaseState.DELIVERED)
    assert _statuses(site, case) == {"c-find: found"}
    assert case.attempt >= 1
    assert len(pacs.received) == len({ds.SOPInstanceUID for ds in pacs.received}) + 1
