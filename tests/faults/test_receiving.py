"""Orthanc is killed while it receives.

What its sender was told is kept; what it was not told, it sends again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faults.bench import WHEN_BACK, Outcome, account
from faults.boxes import Box, box, light_study
from faults.senders import associated
from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.servers, pytest.mark.faults]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Box]:
    with box(tmp_path) as here:
        here.orthanc.start()
        here.worker.start()
        yield here


def test_orthanc_is_killed_while_a_study_comes_in(
    here: Box, told: Callable[[Outcome], None]
) -> None:
    half, whole = light_study(51), light_study(52)
    with here.held("deliver", 53) as other:
        association = associated(half, here.orthanc.now)
        for ds in half[: len(half) // 2]:
            assert association.send_c_store(ds).Status == 0x0000
        unstable = here.site.send(whole)
        here.orthanc.kill()
        wait_for(lambda: not association.is_established, "the sender sees it")
    here.orthanc.start()
    here.await_ends(unstable, other)
    handle = here.site.send(half)  # as a sender does that had no answer to the rest
    here.await_taken_in(handle)
    here.await_ends(handle)
    told_of = {"a study is half sent": handle, "a study was sent just before": unstable}
    for where, study_id in told_of.items():
        found = account(here.site, [study_id, other])
        told(
            found.outcome(
                fault="SIGKILL to Orthanc",
                where=where,
                others=WHEN_BACK,
                note="what was answered with success is there; the sender sends the rest again",
            )
        )
