"""Workers that share one PostgreSQL and one Orthanc: 1, 2 and 4, with a model that waits.

``python benchmarks/boxes.py [SECONDS] [CASES]`` prints the table of ``BOXES.md``. The model waits
SECONDS for each case; each worker gets CASES.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import sqlalchemy as sa  # noqa: E402 - found through the line above
from factories import Stack, make_datasets  # noqa: E402 - as above
from model_packages import known_labels, volume_of, write_package  # noqa: E402 - as above
from servers import PostgresServer, postgres_server  # noqa: E402 - as above
from sites import Site, SiteOptions, patient, pipeline_toml, running_site  # noqa: E402 - as above

from clic_edge.domain.case import CaseState  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.domain.case import Case

LONGEST_SECONDS = 1800.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one number of workers did."""

    workers: int
    cases: int
    seconds: float
    """From the first start of a case to the last result."""
    worker_cpu: float
    """Seconds of a core that the workers used, for each case."""
    median: float
    """Seconds of a case from its first stage to its result."""

    @property
    def rate(self) -> float:
        """Cases an hour."""
        return 3600 * self.cases / self.seconds


def main() -> None:
    """Measure, and print a table."""
    waits = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    each = int(sys.argv[2]) if len(sys.argv) > 2 else 6  # noqa: PLR2004 - the second argument
    with postgres_server() as server:
        found = [measure(server, workers, waits=waits, each=each) for workers in (1, 2, 4)]
    one = found[0]
    print(
        "| workers | cases | cases an hour | against 1 worker | of linear | CPU s a case | s a case |"
    )
    print("|---|---|---|---|---|---|---|")
    for own in found:
        gain = own.rate / one.rate
        print(
            f"| {own.workers} | {own.cases} | {own.rate:.0f} | {gain:.2f} | "
            f"{gain / own.workers:.2f} | {own.worker_cpu:.1f} | {own.median:.1f} |"
        )
    print(f"\nLoad of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


def measure(server: PostgresServer, workers: int, *, waits: float, each: int) -> Measured:
    """Return what so many workers did with `each` cases for every one of them."""
    database = new_database(server, f"boxes_{workers}")
    with tempfile.TemporaryDirectory(prefix="clic-edge-boxes-") as made:
        folder = Path(made)
        write_package(folder / "models" / "hippocampus")
        options = SiteOptions(
            database=database,
            models=folder / "models",
            unsigned=True,
            pipelines={"hippocampus": pipeline_toml(writers='["seg", "sr"]')},
            reconcile_seconds=30,
        )
        with running_site(folder / "site", options) as site, ExitStack() as running:
            pids = [running.enter_context(worker(site, n, waits)) for n in range(workers)]
            before = sum(map(cpu_of, pids))
            studies = [_sent(site, number) for number in range(workers * each)]
            cases = [_done(site, study) for study in studies]
            return Measured(
                workers=workers,
                cases=len(cases),
                seconds=(
                    max(one.result_at for one in cases) - min(one.started_at for one in cases)
                ).total_seconds(),
                worker_cpu=(sum(map(cpu_of, pids)) - before) / len(cases),
                median=statistics.median(
                    (one.result_at - one.started_at).total_seconds() for one in cases
                ),
            )


def new_database(server: PostgresServer, name: str) -> str:
    """Return the URL of a new database of a server."""
    engine = sa.create_engine(server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server.url.rpartition('/')[0]}/{name}"


def worker(site: Site, number: int, waits: float) -> _Pid:
    """Return a worker with a name of its own, not yet running."""
    text = site.settings.read_text()
    text = text.replace(f"metrics_port = {site.metrics_port}", "")
    named = text.replace("[appliance]", f'[appliance]\nname = "worker-{number}"')
    settings = site.settings.with_name(f"worker-{number}.toml")
    settings.write_text(named)
    script = (str(HERE / "waiting_worker.py"), str(settings), str(waits))
    return _Pid(site, script)


class _Pid(ExitStack):
    def __init__(self, site: Site, script: Sequence[str]) -> None:
        super().__init__()
        self._site = site
        self._script = script

    def __enter__(self) -> int:
        return self.enter_context(self._site.worker(script=self._script)).pid


def cpu_of(pid: int) -> float:
    """Return the seconds of a core that a process and what it waited for have used (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _sent(site: Site, number: int) -> str:
    voxels = volume_of(known_labels()).voxels
    return site.send(
        make_datasets(Stack(patient=patient(number), description="Hippocampus"), voxels)
    )


def _done(site: Site, study_id: str) -> Case:
    end = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < end:
        for case in site.cases(study_id):
            if case.state is CaseState.DELIVERED:
                return case
            if case.state.is_end and case.state is not CaseState.SUPERSEDED:
                sys.exit(f"a case ended as {case.state}: {case.code}")
        time.sleep(0.5)
    sys.exit("a case takes too long")


if __name__ == "__main__":
    main()
