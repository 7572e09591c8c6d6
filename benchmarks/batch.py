"""A retrospective run over an archive, with clinical cases in the middle of it.

``python benchmarks/batch.py --studies 200``: studies of ten slices of 64 x 64 lie in a PACS and
come by QIDO-RS and WADO-RS. A clinical case comes now and then; in the middle the command is
killed, and goes on. Prints what stands in ``BOXES.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from boxes import cpu_of, new_database, worker

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import sqlalchemy as sa  # noqa: E402 - found through the line above
from batch_archive import fill, past  # noqa: E402 - as above
from load_traffic import Study  # noqa: E402 - as above
from load_watch import slope, watching  # noqa: E402 - as above
from model_packages import TOML, write_package  # noqa: E402 - as above
from rounds import tell  # noqa: E402 - as above
from servers import OrthancOptions, orthanc_server, postgres_server, send  # noqa: E402 - as above
from sites import SiteOptions, appliance_orthanc, pipeline_toml, plan_site  # noqa: E402 - as above

from clic_edge.app import Appliance  # noqa: E402 - as above
from clic_edge.domain.batch import BatchState  # noqa: E402 - as above
from clic_edge.domain.case import CaseState  # noqa: E402 - as above
from clic_edge.ledger.database import migrate  # noqa: E402 - as above
from clic_edge.pacs.rest import HttpRest, OrthancPeer  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Iterator

    from load_watch import Seen
    from servers import OrthancServer
    from sites import Site

    from clic_edge.domain.batch import Progress

QUERY = "StudyDate=20260101-20260131"
SLICES, RESULTS = 10, 2
"""Of a study: images, and a report with its root."""
ALONE = 6
"""Clinical cases before the batch."""
PIPELINES = {
    "clinical": pipeline_toml("clinical", description='"hippo"', writers='["sr"]'),
    "past": pipeline_toml("past", description='"old"', writers='["sr"]'),
}
LIGHT = (
    TOML.replace("[40, 40, 40]", "[4000, 4000, 4000]")
    .replace("shape = [8, 8, 8]", "shape = [64, 64, 64]")
    .replace("overlap = 0.5", "overlap = 0.0")
)
LONGEST_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options."""

    studies: int
    waits: float
    workers: int
    every: float
    pacs: Path | None
    hold: Path | None
    until: str
    kill: int


@dataclass(kw_only=True)
class Run:
    """One batch and what was seen of it."""

    asked: Asked
    site: Site
    engine: sa.Engine
    alone: list[float] = field(default_factory=list)
    amid: list[float] = field(default_factory=list)
    """Seconds of clinical cases from when they were known to their results."""
    sizes: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds, studies over, bytes of the database."""
    kills: list[int] = field(default_factory=list)
    """Studies that were over when the command was killed."""
    paused: float = 0.0
    """Seconds."""

    def drive(self) -> None:
        """Run the batch to its end, or to the time that was given."""
        self.alone = [self._clinical(number) for number in range(ALONE)]
        stop = threading.Event()
        visitors = threading.Thread(target=self._visit, args=(stop,))
        visitors.start()
        command = self._command()
        begun = time.monotonic()
        while (has_ended := command.poll() is not None) is False or self._is_open():
            if has_ended:  # killed, or paused and to go on
                command = self._command("--resume")
            time.sleep(1)
            over = self._progress().over
            if not self.sizes or time.monotonic() - begun - self.sizes[-1][0] >= 10:  # noqa: PLR2004 - seconds
                self.sizes.append((time.monotonic() - begun, over, self._database()))
            if not self.kills and over >= (self.asked.kill or self.asked.studies // 2):
                command.send_signal(signal.SIGKILL)
                command.wait()
                self.kills.append(over)
            if self.asked.until and f"{datetime.now(UTC):%H:%M}" >= self.asked.until:
                self._tell("pause")
                command.wait()
            elif self.asked.hold and self.asked.hold.exists():
                self._rest(command)
        self.sizes.append((time.monotonic() - begun, self._progress().over, self._database()))
        stop.set()
        visitors.join()
        self._let_run_out()

    def _rest(self, command: subprocess.Popen[bytes]) -> None:
        """Pause while the file is there."""
        begun = time.monotonic()
        self._tell("pause")
        command.wait()
        while self.asked.hold and self.asked.hold.exists():
            time.sleep(1)
        self.site.ledger.batches.move(self.batch_id, BatchState.OPEN)
        self.paused += time.monotonic() - begun

    def _let_run_out(self) -> None:
        """Let what was begun before a pause end."""
        while self.site.ledger.batches.settle(self.batch_id):
            time.sleep(1)

    def _visit(self, stop: threading.Event) -> None:
        number = 1000
        while not stop.wait(self.asked.every):
            self.amid.append(self._clinical(number))
            number += 1

    def _clinical(self, number: int) -> float:
        """Return the seconds of a clinical case from when it was known to its result."""
        study = Study(number=number, slices=10, edge=64)
        with tempfile.TemporaryDirectory(prefix="clic-edge-batch-") as made:
            study.write(Path(made))
            send([Path(made)], self.site.orthanc)
        end = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < end:
            for case in self.site.cases(study.handle):
                if case.state is CaseState.DELIVERED and case.result_at:
                    return (case.result_at - case.received_at).total_seconds()
            time.sleep(0.2)
        raise SystemExit("A clinical case does not end.")

    def _command(self, *more: str) -> subprocess.Popen[bytes]:
        asked = ["--query", QUERY, "--from", "web", "--pipeline", "past", *more]
        asked += ["--limit", str(self.asked.studies)]
        with (self.site.folder / "batch.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "clic_edge", "-c", str(self.site.settings), "batch", *asked],
                env=self.site.environment,
                stdout=log,
                stderr=log,
            )
        while process.poll() is None and not self.site.ledger.batches.all():
            time.sleep(0.2)
        return process

    def _tell(self, what: str) -> None:
        subprocess.run(
            [
                *(sys.executable, "-m", "clic_edge", "-c", str(self.site.settings)),
                *("batch", what, self.batch_id),
            ],
            env=self.site.environment,
            check=True,
            capture_output=True,
        )

    @property
    def batch_id(self) -> str:
        """The one batch of this site."""
        (one,) = self.site.ledger.batches.all()
        return one.batch_id

    def _is_open(self) -> bool:
        return self.site.ledger.batches.batch(self.batch_id).state is BatchState.OPEN

    def _progress(self) -> Progress:
        return self.site.ledger.batches.progress(self.batch_id, datetime.now(UTC))

    def _database(self) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0

    def account(self) -> tuple[int, list[str]]:
        """Return how many studies have their results at the PACS, and what is otherwise."""
        rest, ledger = HttpRest(OrthancPeer(url=self.site.pacs.url)), self.site.ledger
        whole, wrong = 0, list[str]()
        for number in range(self.asked.studies):
            handle = past(number).handle
            cases = ledger.cases.of_study(handle)
            accepted = [
                one.sop_instance_uid
                for case in cases
                for one in ledger.deliveries.receipts(case.case_id)
                if one.accepted
            ]
            answer = json.loads(rest.get(f"/studies/{handle}/instances") or b"[]")
            held = [one["MainDicomTags"]["SOPInstanceUID"] for one in answer]
            results = [one for one in held if not one.startswith(past(number).patient.uid_root)]
            if len(held) - len(results) != SLICES:
                wrong.append(f"study {number}: the PACS holds {len(held) - len(results)} images")
            if sorted(results) != sorted(accepted) or len(cases) > 1:
                wrong.append(
                    f"study {number}: {len(cases)} cases, {len(accepted)} receipts, "
                    f"{len(results)} results at the PACS"
                )
            elif cases and cases[0].state is CaseState.DELIVERED and len(results) == RESULTS:
                whole += 1
            elif cases:
                wrong.append(f"study {number}: {cases[0].state} with {len(results)} results")
        rest.close()
        return whole, wrong


def main() -> None:
    """Measure, and print."""
    asked = _asked()
    begun, load = datetime.now(UTC), os.getloadavg()[0]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clic-edge-batch-")))
        pacs = stack.enter_context(
            orthanc_server(OrthancOptions(ae_title="PACS", storage=asked.pacs))
        )
        tell("filling the PACS")
        fill(pacs, asked.studies)
        site = stack.enter_context(_appliance(folder, pacs))
        engine = sa.create_engine(site.options.database)
        run = Run(asked=asked, site=site, engine=engine)
        pids = {
            f"worker {number}": stack.enter_context(worker(site, number, asked.waits))
            for number in range(asked.workers)
        } | {"Orthanc": site.orthanc.pid}
        before = {name: cpu_of(pid) for name, pid in pids.items()}
        with watching(pids, site.ledger, every=5.0) as seen:
            run.drive()
        cpu = {name: cpu_of(pid) - before[name] for name, pid in pids.items()}
        _tell_all(run, seen, cpu)
        engine.dispose()
    print(f"Begun {begun:%H:%M}; load {load:.0f} before and {os.getloadavg()[0]:.0f} after.")


@contextmanager
def _appliance(folder: Path, pacs: OrthancServer) -> Iterator[Site]:
    write_package(folder / "models" / "hippocampus", toml=LIGHT)
    with postgres_server() as server:
        options = SiteOptions(
            database=new_database(server, "batch"),
            models=folder / "models",
            unsigned=True,
            pipelines=PIPELINES,
            reconcile_seconds=30,
        )
        site = plan_site(folder / "site", options, pacs)
        migrate(Appliance.open(site.settings).engine)
        with appliance_orthanc(site) as orthanc:
            yield replace(site, orthanc=orthanc)


def _tell_all(run: Run, seen: Seen, cpu: dict[str, float]) -> None:
    over, seconds = run.sizes[-1][1], run.sizes[-1][0] - run.paused
    progress = run.site.ledger.batches.progress(run.batch_id, datetime.now(UTC))
    whole, wrong = run.account()
    print(f"{over} studies in {seconds:.0f} s: {3600 * over / seconds:.0f} an hour.")
    print(f"Paused for {run.paused:.0f} s; killed when {run.kills} were over.")
    print(f"The end: {dict(progress.counts)}, {dict(progress.ends)}.")
    print(f"With their {RESULTS} results at the PACS, each once: {whole}.")
    print(f"Otherwise: {wrong[:10] or 'nothing'} ({len(wrong)}).")
    print(f"Clinical cases alone: {_of(run.alone)}; amid the batch: {_of(run.amid)}.")
    for name, values in seen.pss.items():
        one = slope(seen.times, values)
        print(
            f"{name}: {one.least:.0f} to {one.most:.0f} MiB, {one.per_hour:+.1f} MiB an hour "
            f"(± {one.within:.1f}), {one.verdict}; {cpu[name] / max(over, 1):.3f} s of a core a study."
        )
    marks = [run.sizes[round(part * (len(run.sizes) - 1) / 8)] for part in range(9)]
    print("Database:", ", ".join(f"{n} studies {size / 1e6:.0f} MB" for _, n, size in marks))


def _of(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    return (
        f"{len(seconds)}, median {statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s"
    )


def _asked() -> Asked:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--waits", type=float, default=0.0, help="seconds of the model")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=60.0, help="seconds between clinical cases")
    parser.add_argument("--pacs", type=Path, help="folder in which the PACS keeps its studies")
    parser.add_argument("--hold", type=Path, help="pause while this file is there")
    parser.add_argument("--until", default="", help="pause for good at this time, HH:MM in UTC")
    parser.add_argument("--kill", type=int, default=0, help="after so many studies; 0: at half")
    return Asked(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
