"""A process is killed at each step of a case.

The worker holds a case at a step, a process gets SIGKILL and is started again, and the case goes
on. A second study comes while the process is down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faults.bench import NOT_HELD_UP, WHEN_BACK, Outcome, account
from faults.boxes import Box, Running, box, killable_postgres
from servers import PostgresServer, wait_for
from sites import SiteOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.servers, pytest.mark.faults]

STEPS = {
    "accept": "queued",
    "de-identified": "de-identified",
    "predicted": "predicted",
    "written": "written",
    "half sent": "half delivered",
    "sent": "delivered",
    "confirming": "confirming",
    "finish": "confirmed",
}
"""What a case has become at each point of `held_at`."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[tuple[PostgresServer, Running[None]]]:
    """Return a PostgreSQL of this module's own, to be killed."""
    with killable_postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def here(
    tmp_path_factory: pytest.TempPathFactory, postgres: tuple[PostgresServer, Running[None]]
) -> Iterator[Box]:
    options = SiteOptions(database=postgres[0].url)
    with box(tmp_path_factory.mktemp("kills"), options) as here:
        for process in (here.orthanc, here.worker, here.web):
            process.start()
        yield here


VICTIMS = ("Orthanc", "the worker", "the pages", "PostgreSQL")


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_process_is_killed_at_each_step_and_started_again(
    here: Box,
    postgres: tuple[PostgresServer, Running[None]],
    victim: str,
    told: Callable[[Outcome], None],
) -> None:
    processes = (here.orthanc, here.worker, here.web, postgres[1])
    process = processes[VICTIMS.index(victim)]
    first = 100 * (1 + VICTIMS.index(victim))
    is_needed = victim != "the pages"
    for number, (point, step) in enumerate(STEPS.items()):
        with here.held(point, first + 2 * number) as held:
            process.kill()
            if victim == "Orthanc":
                process.start()
            other = here.send(first + 2 * number + 1)
        if not is_needed:
            here.await_ends(held, other)
        if victim != "Orthanc":
            process.start()
        here.site.hang_up()  # the database that answered a moment ago may be gone
        here.await_ends(held, other)
        wait_for(lambda: set(here.health().values()) == {"ok"}, "the pages see all is well")
        found = account(here.site, [held, other])
        told(
            found.outcome(
                fault=f"SIGKILL to {victim}",
                where=f"a case is {step}",
                others=WHEN_BACK if is_needed else NOT_HELD_UP,
            )
        )
