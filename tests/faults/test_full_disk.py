"""A disk is full at each place that is written to.

Each place is a small disk of its own. It is filled to the last byte, a study comes, and room is
made again: nobody restarts anything, and nobody asks for the case again.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from faults.bench import NOT_HELD_UP, WRITTEN_BEFORE, Outcome, account
from faults.boxes import Box, box, light_study
from faults.disks import SmallDisk, small_disk
from faults.senders import offer
from servers import wait_for
from sites import SiteOptions, command_line, ours_in, study_handle

from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from faults.bench import Account

pytestmark = [pytest.mark.servers, pytest.mark.faults]

PLACES = ("storage", "index", "ledger", "results", "temporary", "memory", "reports")


@dataclass(frozen=True, kw_only=True)
class Disks:
    """An appliance, each place of which is a small disk."""

    box: Box
    disks: dict[str, SmallDisk]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    folder = tmp_path_factory.mktemp("disks")
    with ExitStack() as stack:
        disks = {
            place: stack.enter_context(small_disk(folder / place, megabytes=size))
            for place, size in zip(PLACES, (64, 64, 256, 16, 16, 16, 16), strict=True)
        }
        options = SiteOptions(
            database=f"sqlite:///{folder}/ledger/clic-edge.sqlite",
            orthanc={
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "index"),
            },
            destinations=f'[destinations.shelf]\nkind = "folder"\npath = "{folder}/results"\n',
            environment={
                "TMPDIR": str(folder / "temporary"),
                "MEMORY_FOLDER": str(folder / "memory"),
            },
        )
        here = stack.enter_context(box(folder / "box", options, also="shelf"))
        for process in (here.orthanc, here.worker, here.web):
            process.start()
        yield Disks(box=here, disks=disks)


@pytest.mark.parametrize(
    ("place", "what"), [("storage", "Orthanc's storage"), ("index", "Orthanc's index")]
)
def test_a_sender_is_told_while_orthanc_has_no_room_and_is_served_when_it_has(
    here: Disks, place: str, what: str, told: Callable[[Outcome], None]
) -> None:
    number = 1 + PLACES.index(place)
    study, orthanc = light_study(number), here.box.orthanc.now
    with here.box.held("deliver", number + 10) as other, here.disks[place].full():
        statuses = offer(study, orthanc)
        assert statuses == {0xA700}
        assert study_handle(study[0]) not in orthanc.get("/studies")
        here.box.let_go("deliver")
        here.box.await_ends(other)
    assert offer(study, orthanc) == {0x0000}
    here.box.await_ends(study_handle(study[0]))
    found = account(here.box.site, [study_handle(study[0]), other])
    told(
        found.outcome(
            fault="The disk is full",
            where=what,
            others=WRITTEN_BEFORE,
            note="the sender is told 0xA700, out of resources, and sends again",
        )
    )


def waited(here: Disks, first: int, disk: str, *, code: str) -> Account:
    """Let a case find no room for its results, while another that has them is delivered."""
    with (
        here.box.held("deliver", first + 1) as other,
        here.box.held("write", first) as study_id,
        here.disks[disk].full(),
    ):
        if disk == "storage":
            orthanc = here.box.orthanc.now
            wait_for(lambda: orthanc.posted("/instances", b"no image") == 403, "nothing comes in")
        here.box.let_go("write")
        here.box.await_hindered(study_id, code)
        here.box.let_go("deliver")
        here.box.await_ends(other)
    here.box.await_ends(study_id)
    return account(here.box.site, [study_id, other])


def test_results_wait_while_orthanc_has_no_room_for_them(
    here: Disks, told: Callable[[Outcome], None]
) -> None:
    found = waited(here, 21, "storage", code="archive-unreachable")
    told(
        found.outcome(
            fault="The disk is full",
            where="Orthanc's storage, results being written",
            others=WRITTEN_BEFORE,
            note="the case waits (`archive-unreachable`)",
        )
    )


def test_cases_wait_while_the_ledger_has_no_room(
    here: Disks, told: Callable[[Outcome], None]
) -> None:
    worker, site = here.box.worker.now, here.box.site
    with here.box.held("predict", 31) as held, here.disks["ledger"].full():
        here.box.let_go("predict")
        late = here.box.send(32)
        wait_for(lambda: here.box.orthanc.now.get(f"/studies/{late}")["IsStable"], "stable")
        wait_for(lambda: _complains(site.log), "the worker says that the disk is full")
    here.box.await_ends(held, late)
    assert worker.poll() is None, "the worker goes on by itself"
    found = account(site, [held, late])
    told(
        found.outcome(
            fault="The disk is full",
            where="the ledger's",
            others="wait for the ledger, and are delivered",
            note="the sender is told success; the worker says so in its log",
        )
    )


def _complains(log: Path) -> bool:
    text = log.read_text()
    return "disk-full" in text or "database-away" in text


def test_a_folder_that_is_full_gets_its_results_when_it_has_room(
    here: Disks, told: Callable[[Outcome], None]
) -> None:
    with here.disks["results"].full():
        study_id = here.box.send(41)
        here.box.await_hindered(study_id, "destination-unreachable")
        assert len(ours_in(here.box.site.pacs, study_id)) == 3
        other = here.box.deliver_beside(42)
    here.box.await_ends(study_id)
    case = here.box.site.await_case(study_id, CaseState.DELIVERED)
    rows = here.box.site.ledger.deliveries.results(case.case_id)
    files = {file.name for file in here.disks["results"].folder.glob("*.dcm")}
    assert {f"{row.kind}-{row.sop_instance_uid}.dcm" for row in rows} <= files
    assert not list(here.disks["results"].folder.glob(".*.part"))
    found = account(here.box.site, [study_id, other])
    told(
        found.outcome(
            fault="The disk is full",
            where="a folder that takes results",
            others=NOT_HELD_UP,
            note="the case waits (`destination-unreachable`); the PACS has its results at once",
        )
    )


def test_a_full_folder_of_temporary_files_holds_up_nothing(
    here: Disks, told: Callable[[Outcome], None]
) -> None:
    with here.disks["temporary"].full():
        study_id = here.box.send(51)
        other = here.box.deliver_beside(52)
        here.box.await_ends(study_id)
        assert set(here.box.health().values()) == {"ok"}
    found = account(here.box.site, [study_id, other])
    told(
        found.outcome(
            fault="The disk is full",
            where="the folder of temporary files",
            others=NOT_HELD_UP,
        )
    )


def test_no_segmentation_is_blamed_for_a_folder_in_memory_that_is_full(
    here: Disks, told: Callable[[Outcome], None]
) -> None:
    found = waited(here, 71, "memory", code="geometry-reader-stopped")
    told(
        found.outcome(
            fault="The disk is full",
            where="the folder in memory by which segmentations are proved",
            others=WRITTEN_BEFORE,
            note="the case waits (`geometry-reader-stopped`)",
        )
    )


def test_a_report_that_finds_no_room_leaves_nothing_behind_and_is_made_later(
    here: Disks, told: Callable[[Outcome], None]
) -> None:
    study_id = here.box.send(61)
    here.box.await_ends(study_id)
    disk, month = here.disks["reports"], datetime.now(UTC).strftime("%Y-%m")
    out = disk.folder / "out"
    out.mkdir()
    words = ("report", "month", "brightness", "--month", month, "--out", str(out))
    with disk.full():
        refused = command_line("-c", str(here.box.site.settings), *words)
        assert (refused.returncode, "out-unwritable" in refused.stderr) == (2, True)
        assert list(out.iterdir()) == []
        other = here.box.deliver_beside(62)
    made = command_line("-c", str(here.box.site.settings), *words)
    assert made.returncode == 0, made.stderr
    found = account(here.box.site, [study_id, other])
    told(
        found.outcome(
            fault="The disk is full",
            where="the folder of reports",
            others=NOT_HELD_UP,
            note="the report is refused (`out-unwritable`) and made when asked again; the worker tries by itself every ten minutes",
        )
    )
