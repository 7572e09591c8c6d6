"""A retrospective run over an archive, with clinical cases in the middle of it.

``python benchmarks/batch.py [STUDIES] [SECONDS] [WORKERS]``: STUDIES of ten small slices lie in a
PACS and come by QIDO-RS and WADO-RS; the model waits SECONDS for each. In the middle the command
is killed and goes on. Prints what stands in ``BOXES.md``.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from boxes import new_database, worker

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from factories import Stack, make_datasets  # noqa: E402 - found through the line above
from model_packages import known_labels, volume_of, write_package  # noqa: E402 - as above
from servers import postgres_server, send_datasets  # noqa: E402 - as above
from sites import SiteOptions, patient, pipeline_toml, running_site  # noqa: E402 - as above

from clic_edge.domain.case import CaseState  # noqa: E402 - as above

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from sites import Site

    from clic_edge.domain.batch import Progress

QUERY = "Modality=MR,StudyDate=20260101-20260131"
CLINICAL = 4
PIPELINES = {
    "clinical": pipeline_toml("clinical", description='"hippo"', writers='["sr"]'),
    "past": pipeline_toml("past", description='"old"', writers='["sr"]'),
}


def main() -> None:
    """Measure, and print."""
    numbers = [float(one) for one in sys.argv[1:]]
    count, waits, workers = (*numbers, *(1000.0, 1.0, 2.0)[len(numbers) :])
    with (
        postgres_server() as server,
        tempfile.TemporaryDirectory(prefix="clic-edge-batch-") as made,
    ):
        folder = Path(made)
        write_package(folder / "models" / "hippocampus")
        options = SiteOptions(
            database=new_database(server, "batch"),
            models=folder / "models",
            unsigned=True,
            pipelines=PIPELINES,
            reconcile_seconds=30,
        )
        with running_site(folder / "site", options) as site, ExitStack() as running:
            for number in range(int(workers)):
                running.enter_context(worker(site, number, waits))
            measure(site, int(count))
    print(f"Load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


def measure(site: Site, count: int) -> None:
    """Run the batch, and clinical cases before and in the middle of it."""
    for number in range(count):
        send_datasets(_study(10_000 + number, "old"), site.pacs)
    alone = [_clinical(site, number) for number in range(CLINICAL)]
    begun = time.monotonic()
    command = _command(site)
    _await(site, count // 3)
    amid = [_clinical(site, 100 + number) for number in range(CLINICAL)]
    command.send_signal(signal.SIGKILL)
    command.wait()
    at_kill = _progress(site)
    command = _command(site, "--resume")
    command.wait()
    seconds = time.monotonic() - begun
    seen = _progress(site)
    print(f"{count} studies in {seconds:.0f} s: {3600 * count / seconds:.0f} an hour.")
    print(f"Killed when {at_kill.over} were over; the end: {dict(seen.counts)}, {dict(seen.ends)}.")
    cases = [one for one in site.ledger.cases.all(limit=10**6) if one.pipeline == "past"]
    print(f"Cases of the batch: {len(cases)}; of its studies otherwise: {_others(site)}.")
    print(f"Clinical cases alone: {_told(alone)}; amid the batch: {_told(amid)}.")


def _study(number: int, description: str) -> list[Dataset]:
    voxels = volume_of(known_labels()).voxels
    return make_datasets(Stack(patient=patient(number), description=description), voxels)


def _clinical(site: Site, number: int) -> float:
    """Return the seconds of a clinical case from when it was known to its result."""
    study_id = site.send(_study(number, "Hippocampus"))
    case = site.await_case(study_id, CaseState.DELIVERED, pipeline="clinical")
    return ((case.result_at or case.updated_at) - case.received_at).total_seconds()


def _command(site: Site, *more: str) -> subprocess.Popen[bytes]:
    asked = ["--query", QUERY, "--from", "web", "--pipeline", "past", *more]
    with (site.folder / "batch.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "clic_edge", "-c", str(site.settings), "batch", *asked],
            env=site.environment,
            stdout=log,
            stderr=log,
        )


def _progress(site: Site) -> Progress:
    (one,) = site.ledger.batches.all()
    return site.ledger.batches.progress(one.batch_id, datetime.now(UTC))


def _await(site: Site, count: int) -> None:
    while not site.ledger.batches.all() or _progress(site).over < count:
        time.sleep(1)


def _others(site: Site) -> int:
    return sum(one.pipeline not in PIPELINES for one in site.ledger.cases.all(limit=10**6))


def _told(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s"


if __name__ == "__main__":
    main()
