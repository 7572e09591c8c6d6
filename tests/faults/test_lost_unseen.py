"""Something is lost where no event tells of it.

The account of the day finds it, by what Orthanc and the PACS hold.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from faults.bench import NOT_HELD_UP, Outcome, account
from servers import OrthancOptions, orthanc_server, wait_for
from sites import (
    Site,
    SiteOptions,
    appliance_orthanc,
    hippocampus_study,
    ours_in,
    plan_site,
    results_in,
    running_site,
)

from clic_edge.accounting.making import make_account
from clic_edge.app import Appliance
from clic_edge.domain.case import CaseState
from clic_edge.ledger.alarms import WantedAlarms
from clic_edge.ledger.database import migrate, open_engine
from clic_edge.pipeline.intervening import send_again
from clic_edge.pipeline.reconcile import CURSOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.servers, pytest.mark.faults]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("lost"), SiteOptions()) as site:
        yield site


def differences(site: Site) -> list[str]:
    """Make today's account as the night after would, keep it, and return what differs."""
    now = datetime.now(UTC)
    books = Appliance.open(site.settings).books()
    made = make_account(books, now.date(), now=now + timedelta(days=1))
    site.ledger.accounting.keep(*made)
    assert made[0].balances
    return [one.kind for one in made[1]]


def ringing(site: Site) -> list[str]:
    return [one.chart for one in site.ledger.alarms.page(WantedAlarms(), limit=10)]


def test_a_pacs_loses_a_result_that_it_had_accepted(
    site: Site, told: Callable[[Outcome], None]
) -> None:
    with site.worker():
        study_id = site.send(hippocampus_study(1))
        case = site.await_case(study_id, CaseState.DELIVERED)
        (lost, *_) = results_in(site.pacs, study_id)
        (found,) = site.pacs.post("/tools/lookup", lost.encode())  # type: ignore[misc]  # JSON
        site.pacs.delete(f"/instances/{found['ID']}")
        other = site.send(hippocampus_study(2))
        site.await_case(other, CaseState.DELIVERED)
        assert differences(site) == ["result-missing"]
        assert ringing(site) == ["result-missing pacs"]
        send_again(site.ledger, case.case_id, person="Ida", reason="the disk was restored")
        wait_for(lambda: lost in ours_in(site.pacs, study_id), "the result is there again")
        wait_for(lambda: differences(site) == [], "and its receipt")
    assert ringing(site) == []
    seen = account(site, [study_id, other])
    told(
        seen.outcome(
            fault="A PACS loses a result that it had accepted",
            where="the day after",
            others=NOT_HELD_UP,
            note="an alarm of the daily account; sent again at a person's word",
        )
    )


def test_neither_an_event_nor_the_log_tells_of_a_study(
    tmp_path: Path, told: Callable[[Outcome], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with orthanc_server(OrthancOptions(ae_title="PACS")) as pacs:
        site = plan_site(tmp_path / "site", SiteOptions(), pacs)
        migrate(open_engine(f"sqlite:///{site.folder}/clic-edge.sqlite"))
        with appliance_orthanc(site, plugin=False) as orthanc:
            site = replace(site, orthanc=orthanc)
            study_id = site.send(hippocampus_study(3))
            wait_for(lambda: "StableStudy" in _changes(site), "the log has told all of it")
            site.ledger.records.advance(CURSOR, _last(site))
            monkeypatch.setattr("clic_edge.accounting.books._SETTLES", timedelta())
            with site.worker():
                other = site.send(hippocampus_study(4))
                site.await_case(other, CaseState.DELIVERED)
                assert site.cases(study_id) == ()
                assert differences(site) == ["study-unseen"]
                site.await_case(study_id, CaseState.DELIVERED)
            assert differences(site) == []
            seen = account(site, [study_id, other])
    told(
        seen.outcome(
            fault="Neither an event nor Orthanc's log tells of a study",
            where="an archive that was restored",
            others=NOT_HELD_UP,
            note="the daily account takes it in, and rings",
        )
    )


def _changes(site: Site) -> set[str]:
    return {one["ChangeType"] for one in site.orthanc.get("/changes?limit=1000")["Changes"]}  # type: ignore[index]  # JSON


def _last(site: Site) -> int:
    return int(site.orthanc.get("/changes?last")["Last"])  # type: ignore[index]  # JSON
