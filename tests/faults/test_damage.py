"""Something is damaged, frozen or started twice.

A disk turns read-only, files are cut off, a worker is frozen, killed again and again, or started
a second time by mistake.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from faults.bench import NOT_HELD_UP, WHEN_BACK, WRITTEN_BEFORE, Outcome, account
from faults.boxes import HELD_AT, Box, box, light_study
from faults.disks import failing_disk, small_disk
from faults.senders import offer
from servers import wait_for
from sites import CASE_SECONDS, SiteOptions, study_handle

from clic_edge.domain.case import CaseState
from clic_edge.pipeline.queue import DEATHS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.servers, pytest.mark.faults]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Return an appliance of which only Orthanc runs; workers are soon taken for dead."""
    with box(tmp_path_factory.mktemp("damage")) as here:
        text = here.site.settings.read_text()
        settings = text.replace("[worker]\n", "[worker]\nlost_after_seconds = 3\n")
        here.site.settings.write_text(settings)
        here.orthanc.start()
        yield here


@contextmanager
def working(here: Box) -> Iterator[None]:
    here.worker.start()
    try:
        yield
    finally:
        here.worker.kill()


def test_a_frozen_worker_that_wakes_sends_nothing_that_another_has_sent(
    here: Box, told: Callable[[Outcome], None]
) -> None:
    second = here.site.folder / "second.toml"
    text = here.site.settings.read_text()
    second.write_text(
        text.replace("[appliance]\n", '[appliance]\nname = "second"\n').replace(
            f"metrics_port = {here.site.metrics_port}", "metrics_port = 0"
        )
    )
    none = here.holds.parent / "no-holds"
    none.mkdir()
    with working(here), here.held("written", 1) as study_id:
        frozen = here.worker.now.pid
        os.killpg(frozen, signal.SIGSTOP)
        try:
            with here.site.worker(script=(str(HELD_AT), str(second), str(none))):
                other = here.deliver_beside(2)
                here.await_ends(study_id)
        finally:
            os.killpg(frozen, signal.SIGCONT)
        here.let_go("written")
        later = here.send(3)
        here.await_ends(later)  # by the one that woke up
    found = account(here.site, [study_id, other, later])
    told(
        found.outcome(
            fault="A worker is frozen (SIGSTOP) and wakes",
            where="a case is written; a second worker takes it",
            others=NOT_HELD_UP,
            note="the one that wakes goes on with other cases",
        )
    )


def test_a_second_worker_of_the_same_name_does_not_start(
    here: Box, told: Callable[[Outcome], None]
) -> None:
    with working(here), here.held("predict", 11) as study_id:
        same = here.site.folder / "same.toml"
        port = f"metrics_port = {here.site.metrics_port}"
        same.write_text(here.site.settings.read_text().replace(port, "metrics_port = 0"))
        command = [sys.executable, "-m", "clic_edge", "-c", str(same), "serve"]
        second = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=CASE_SECONDS,
            env=here.site.environment,
        )
        assert second.returncode == 2
        assert "worker-name-taken" in second.stderr
        other = here.deliver_beside(12)
        here.let_go("predict")
        here.await_ends(study_id)
    found = account(here.site, [study_id, other])
    told(
        found.outcome(
            fault="A second worker is started by mistake",
            where="on one SQLite, by the same name",
            others=NOT_HELD_UP,
            note="it does not start (`worker-name-taken`)",
        )
    )


def test_a_case_that_kills_its_worker_each_time_is_set_apart(
    here: Box, told: Callable[[Outcome], None]
) -> None:
    for death in range(DEATHS):
        # The last time the one or the other is tried alone; until then they are in hand together.
        holds = {"de-identified": 21} | ({"predict": 22} if death + 1 < DEATHS else {})
        for point, number in holds.items():
            here.hold(point, number)
        with working(here):
            if not death:
                study_id, other = here.send(21), here.send_beside(22)
            for point in holds:
                held = here.holds / f"{point}.held"
                wait_for(held.exists, f"a case comes to {point}", CASE_SECONDS)
        for point in holds:
            here.let_go(point)
    with working(here):
        here.await_ends(other)
        here.await_ends(study_id, state=CaseState.QUARANTINED)
        case = here.site.cases(study_id)[-1]
        assert case.code == "worker-died"
        found = account(here.site, [study_id, other])
        here.site.ledger.cases.retry(case.case_id)
        here.await_ends(study_id)
    again = account(here.site, [study_id])
    told(
        found.and_after(again).outcome(
            fault="The worker is killed each time it infers, as for want of memory",
            where="a case is de-identified, beside another",
            others=WHEN_BACK,
            note=f"set apart after {DEATHS} deaths (`worker-died`), the last of them over it alone; "
            "retried, it is delivered",
        )
    )


def test_a_ledger_that_lost_its_last_commits_comes_to_the_same_results(
    here: Box, told: Callable[[Outcome], None]
) -> None:
    with working(here), here.held("finish", 31) as study_id:
        other = here.deliver_beside(32)
        # Who closes the database last takes the log in, so nobody may: we go first, they are killed.
        here.site.hang_up()
        here.orthanc.kill()
        here.worker.kill()
    log = here.site.folder / "clic-edge.sqlite-wal"
    content = log.read_bytes()
    assert len(content) > 20 * 4096
    log.write_bytes(content[: -6 * 4096] + bytes(3 * 4096))
    here.orthanc.start()
    with working(here):
        later = here.deliver_beside(33)
        here.await_ends(study_id, other)
    found = account(here.site, [study_id, other, later])
    told(
        found.outcome(
            fault="The end of SQLite's log is cut off and overwritten",
            where="a case is confirmed",
            others=WHEN_BACK,
            note="SQLite drops the last commits; what they said is found out again",
        )
    )


def test_a_study_with_a_file_that_was_cut_off_is_set_apart_until_it_is_sent_again(
    here: Box, told: Callable[[Outcome], None]
) -> None:
    datasets = light_study(41)
    study_id = here.site.send(datasets)
    (instance, *_) = here.orthanc.now.get(f"/studies/{study_id}/instances")
    _cut_off(here, instance["ID"])
    with working(here):
        other = here.deliver_beside(42)
        case = here.site.await_case(study_id, CaseState.QUARANTINED, CaseState.REFUSED)
        found = account(here.site, [study_id, other])
        here.orthanc.now.delete(f"/studies/{study_id}")
        here.site.send(datasets)
        here.site.ledger.cases.retry(case.case_id)
        here.await_ends(study_id)
    again = account(here.site, [study_id])
    told(
        found.and_after(again).outcome(
            fault="A file in Orthanc's storage is cut off",
            where="an image, before its case runs",
            others=NOT_HELD_UP,
            note=f"set apart (`{case.code}`); deleted, sent again and retried, it is delivered",
        )
    )


def test_a_result_that_was_cut_off_does_not_leave(
    here: Box, told: Callable[[Outcome], None]
) -> None:
    with working(here):
        with here.held("deliver", 51) as study_id:
            case = here.site.cases(study_id)[-1]
            (row, *_) = here.site.ledger.deliveries.results(case.case_id)
            (found_at,) = here.orthanc.now.post("/tools/lookup", row.sop_instance_uid.encode())
            _cut_off(here, found_at["ID"])
            other = here.deliver_beside(52)
        here.await_ends(study_id, state=CaseState.QUARANTINED)
    found = account(here.site, [study_id, other])
    told(
        found.outcome(
            fault="A file in Orthanc's storage is cut off",
            where="a result, before it is delivered",
            others=NOT_HELD_UP,
            note=f"nothing is sent (`{here.site.cases(study_id)[-1].code}`)",
        )
    )


def _cut_off(here: Box, instance_id: str) -> None:
    """Leave half of a stored file, as a file system does that lost its last writes."""
    path = f"/instances/{instance_id}/attachments/dicom"
    answer = here.orthanc.now.get(f"{path}/info")
    (file,) = here.site.orthanc.storage.rglob(str(answer["Uuid"]))
    here.orthanc.kill()  # it has what came last in memory
    os.truncate(file, file.stat().st_size // 2)
    here.orthanc.start()


def test_senders_are_told_while_orthancs_disk_is_read_only(
    tmp_path: Path, told: Callable[[Outcome], None]
) -> None:
    with small_disk(tmp_path / "storage", megabytes=64) as disk:
        options = SiteOptions(
            orthanc={
                "StorageDirectory": str(tmp_path / "storage"),
                "IndexDirectory": str(tmp_path / "index"),
            }
        )
        with box(tmp_path / "box", options) as here:
            here.orthanc.start()
            here.worker.start()
            study, server = light_study(61), here.orthanc.now
            with here.held("deliver", 62) as other, disk.read_only():
                assert offer(study, server) == {0xA700}
                here.let_go("deliver")
                here.await_ends(other)
            assert offer(study, server) == {0x0000}
            here.await_ends(study_handle(study[0]))
            found = account(here.site, [study_handle(study[0]), other])
    told(
        found.outcome(
            fault="A disk turns read-only",
            where="Orthanc's storage",
            others=WRITTEN_BEFORE,
            note="the sender is told 0xA700, out of resources, and sends again",
        )
    )


def test_a_state_folder_that_is_read_only_holds_up_no_case(
    tmp_path: Path, told: Callable[[Outcome], None]
) -> None:
    state = tmp_path / "state"
    with small_disk(state) as disk:
        database = f"sqlite:///{tmp_path}/clic-edge.sqlite"
        with box(tmp_path / "box", SiteOptions(database=database)) as here:
            settings = here.site.settings.read_text()
            shutil.copy(here.site.folder / "deid.key", state)
            here.site.settings.write_text(settings.replace(f'"{here.site.folder}"', f'"{state}"'))
            here.orthanc.start()
            here.worker.start()
            with disk.read_only():
                study_id, other = here.send(81), here.send_beside(82)
                here.await_ends(study_id, other)
            found = account(here.site, [study_id, other])
    told(
        found.outcome(
            fault="A disk turns read-only",
            where="the state folder's, the ledger being elsewhere",
            others=NOT_HELD_UP,
        )
    )


def test_what_came_while_the_ledgers_disk_failed_is_delivered_when_the_machine_is_up_again(
    tmp_path: Path, told: Callable[[Outcome], None]
) -> None:
    with failing_disk(tmp_path / "ledger") as disk:
        options = SiteOptions(database=f"sqlite:///{disk.folder}/clic-edge.sqlite")
        with box(tmp_path / "box", options) as here:
            machine = (here.orthanc, here.worker, here.web)
            for process in machine:
                process.start()
            with here.held("predict", 71) as held:
                disk.fail()
                here.let_go("predict")
                assert offer(light_study(72), here.orthanc.now) == {0x0000}
                wait_for(lambda: "database-away" in here.site.log.read_text(), "the worker says so")
            for process in machine:
                process.kill()
            here.site.hang_up()
            disk.repair()
            for process in machine:
                process.start()
            late = study_handle(light_study(72)[0])
            here.await_ends(held, late)
            told(
                account(here.site, [held, late]).outcome(
                    fault="A disk fails and is read-only",
                    where="the ledger's, a case at its model",
                    others="taken, and delivered after the restart",
                    note="the sender is told success; the worker says so in its log; the machine is restarted, its disk checked (`e2fsck`)",
                )
            )
