"""The clock of the appliance jumps.

Every process of it sees the jump: Orthanc, the worker and the pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
from faults.bench import NOT_HELD_UP, Outcome, account
from faults.boxes import Box, box
from faults.clocks import FakedClock, faked_clock
from logins import add_account, signed_in
from servers import wait_for
from sites import SiteOptions

from clic_edge.domain.account import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.servers, pytest.mark.faults]

HOUR, DAY = 3600, 86400


@dataclass(frozen=True, kw_only=True)
class Timed:
    """An appliance with a clock of its own, and a folder that can be blocked as destination."""

    box: Box
    clock: FakedClock
    shelf: Path


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Timed]:
    clock, shelf = faked_clock(tmp_path), tmp_path / "shelf"
    options = SiteOptions(
        environment=clock.environment,
        destinations=f'[destinations.shelf]\nkind = "folder"\npath = "{shelf}"\n',
    )
    with box(tmp_path / "box", options, also="shelf") as here:
        for process in (here.orthanc, here.worker, here.web):
            process.start()
        yield Timed(box=here, clock=clock, shelf=shelf)


@pytest.mark.parametrize(
    ("jump", "fault", "session"),
    [
        (DAY, "The clock jumps a day ahead", "people log in again"),
        (-HOUR, "The clock jumps an hour back", "sessions go on"),
    ],
    ids=["ahead", "back"],
)
def test_a_clock_that_jumps_loses_no_case_and_holds_none_up(
    here: Timed, jump: int, fault: str, session: str, told: Callable[[Outcome], None]
) -> None:
    box, number = here.box, 1 if jump > 0 else 11
    add_account(box.site.ledger, "Vera", Role.VIEWER)
    here.shelf.touch()  # no folder, so nothing can be put there
    retried = box.send(number)
    box.await_hindered(retried, "destination-unreachable")
    with signed_in(box.web.now, "Vera") as browser, box.held("predict", number + 1) as held:
        unstable = box.send(number + 2)
        here.clock.jump(jump)
        wait_for(lambda: _heard(box), "the worker notices the jump")
        other = box.deliver_beside(number + 4)
        is_out = browser.get("/").status_code == httpx.codes.SEE_OTHER
        here.shelf.unlink()
    later = box.send(number + 3)
    where = {
        "a case waits for a destination": retried,
        "a case is under way": held,
        "a study has just come": unstable,
        "a study comes": later,
    }
    assert is_out is (jump > 0), "a session is over after a day, by whatever clock"
    for step, study_id in where.items():
        box.await_ends(study_id)
        found = account(box.site, [study_id, other])
        told(
            found.outcome(
                fault=fault,
                where=step,
                others=NOT_HELD_UP,
                note=f"people get the notice `clock-jumped`; {session}; nothing is pruned for a day",
            )
        )


def _heard(box: Box) -> bool:
    return '"clock-jumped"' in box.site.log.read_text()
