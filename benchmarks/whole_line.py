"""The phantom along the whole line: real Orthancs, the real worker in a process of its own."""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pydicom
from orthancs import START_SECONDS, Orthanc, running_orthanc
from package import write_package
from phantom import ORGANS
from rounds import tell
from transfer import store

from clic_edge.app import Appliance
from clic_edge.deid.keys import create_key
from clic_edge.domain.case import CaseState
from clic_edge.pipeline.intake import intake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from phantom import Phantom

    from clic_edge.domain.case import Case

LONGEST_CASE_SECONDS = 600
LEAST_DICE = 0.7
"""The network mistakes the blurred border of one organ for another; a flip would give nothing."""

_SETTINGS = """\
[appliance]
state_dir = "{folder}"
pipelines = "pipelines"
models = "models"
deid_profiles = "deid"

[orthanc]
url = "{appliance.url}"

[worker]
concurrent_cases = 1
reconcile_seconds = 3600

[destinations.pacs]
kind = "dimse"
host = "127.0.0.1"
port = {pacs.dicom_port}
called_ae_title = "{pacs.ae_title}"
"""

_PIPELINE = """\
name = "phantom"
title = "Organs of a phantom"
model = "phantom"
deid_profile = "basic"
destinations = ["pacs"]

[rule]
modality = ["CT"]

[completeness]
quiet_seconds = 0
"""


@dataclass(frozen=True, kw_only=True)
class CaseTimes:
    """One case: seconds of the whole, of the parts, and of the stages that they belong to."""

    arrival: float
    """C-STORE of the series into the appliance; not in `whole`."""
    whole: float
    """From the request to the ledger's word that the case is delivered."""
    parts: Mapping[str, float]
    stages: Mapping[str, float]
    forward: float
    """The network's forward passes."""
    peak_mb: float
    """Most memory that the worker held until the end of this case."""


@dataclass(frozen=True, kw_only=True)
class WholeLine:
    """What was measured over several cases in one worker."""

    first: CaseTimes
    """With a worker that has just started: the model loads."""
    cases: tuple[CaseTimes, ...]
    idle_mb: float
    """Memory of the worker before its first case."""
    series_mb: float

    def median(self, part: str) -> float:
        """Return the median seconds of a part; 0 where it did not run."""
        return statistics.median(case.parts.get(part, 0.0) for case in self.cases)

    @property
    def whole(self) -> float:
        """Median seconds of a case."""
        return statistics.median(case.whole for case in self.cases)

    @property
    def forward(self) -> float:
        """Median seconds of the network."""
        return statistics.median(case.forward for case in self.cases)


@dataclass(frozen=True, kw_only=True)
class _Site:
    folder: Path
    appliance: Orthanc
    pacs: Orthanc
    open: Appliance
    worker: subprocess.Popen[bytes]


def measure_line(folder: Path, phantom: Phantom, *, patch: int, rounds: int) -> WholeLine:
    """Run one case that does not count, then `rounds` more, each a study of its own."""
    with _running_site(folder, phantom, patch) as site:
        idle = _peak_mb(site.worker)
        cases = []
        for number in range(rounds + 1):
            tell(f"whole line: {f'case {number} of {rounds}' if number else 'first case'}")
            cases.append(_run_case(site, replace(phantom, study=100 + number)))
    return WholeLine(
        first=cases[0],
        cases=tuple(cases[1:]),
        idle_mb=idle,
        series_mb=phantom.voxels.nbytes / 2**20,
    )


@contextmanager
def _running_site(folder: Path, phantom: Phantom, patch: int) -> Iterator[_Site]:
    folder.mkdir()
    write_package(folder / "models" / "phantom", phantom, patch=patch)
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "phantom.toml").write_text(_PIPELINE)
    (folder / "deid").mkdir()
    (folder / "deid" / "basic.toml").write_text('name = "basic"\n')
    create_key(folder / "deid.key")
    with running_orthanc(folder, "CLICEDGE") as appliance, running_orthanc(folder, "PACS") as pacs:
        settings = folder / "clic-edge.toml"
        settings.write_text(_SETTINGS.format(folder=folder, appliance=appliance, pacs=pacs))
        with _running_worker(folder, settings) as worker:
            yield _Site(
                folder=folder,
                appliance=appliance,
                pacs=pacs,
                open=Appliance.open(settings),
                worker=worker,
            )


@contextmanager
def _running_worker(folder: Path, settings: Path) -> Iterator[subprocess.Popen[bytes]]:
    log_path = folder / "worker.log"
    script = Path(__file__).with_name("worker.py")
    with log_path.open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, str(script), str(settings), str(folder / "parts.jsonl")],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while "worker-started" not in log_path.read_text():
            if worker.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The worker did not start:\n{log_path.read_text()}")
            time.sleep(0.05)
        yield worker
    finally:
        worker.terminate()
        worker.wait(timeout=60)


def _run_case(site: _Site, phantom: Phantom) -> CaseTimes:
    site.appliance.empty()
    files = phantom.write(site.folder / f"study-{phantom.study}")
    begin = time.perf_counter()
    store(site.appliance, phantom, files)
    arrived = time.perf_counter()
    (study_id,) = site.appliance.ids("studies")
    seen = len(_parts(site))
    begun, since = time.perf_counter(), datetime.now(UTC)
    (case,) = intake(
        study_id,
        site.open.pipelines,
        archive=site.open.archive(),
        ledger=site.open.ledger,
        expedited=True,
    )
    _await_end(site, case)
    whole = time.perf_counter() - begun
    _expect_organs(site.pacs, phantom)
    parts: dict[str, float] = defaultdict(float)
    for part, seconds in _parts(site)[seen:]:
        parts[part] += seconds
    ledger = site.open.ledger
    (prediction,) = ledger.predictions.rows(since)
    features = {feature.name: feature.number for feature in prediction.features}
    return CaseTimes(
        arrival=arrived - begin,
        whole=whole,
        parts=parts,
        stages=dict(ledger.records.stages(case.case_id)),
        forward=features["seconds.forward"] or 0.0,
        peak_mb=_peak_mb(site.worker),
    )


def _await_end(site: _Site, case: Case) -> None:
    deadline = time.monotonic() + LONGEST_CASE_SECONDS
    while time.monotonic() < deadline:
        now = site.open.ledger.cases.case(case.case_id)
        if now.state is CaseState.DELIVERED:
            return
        if now.state.is_end:
            raise SystemExit(f"The case ended as {now.state}: {now.reason}")
        time.sleep(0.02)
    raise SystemExit("The case did not end.")


def _expect_organs(pacs: Orthanc, phantom: Phantom) -> None:
    """End the benchmark unless the SEG that the PACS holds shows the phantom's organs."""
    for instance in pacs.ids("instances"):
        answer = httpx.get(f"{pacs.url}/instances/{instance}/file", trust_env=False)
        ds = pydicom.dcmread(io.BytesIO(answer.content))
        if ds.Modality == "SEG" and ds.StudyInstanceUID == phantom.uid_root:
            break
    else:
        raise SystemExit("The PACS holds no segmentation.")
    frames = zip(ds.PerFrameFunctionalGroupsSequence, ds.pixel_array, strict=True)
    found = np.zeros(len(ORGANS) + 1)
    overlap = np.zeros(len(ORGANS) + 1)
    for groups, frame in frames:
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        slice_number = round(float(groups.PlanePositionSequence[0].ImagePositionPatient[2]))
        found[number] += frame.sum()
        overlap[number] += frame[phantom.mask[slice_number] == number].sum()
    dice = 2 * overlap[1:] / (found[1:] + np.bincount(phantom.mask.ravel())[1:])
    if not (dice > LEAST_DICE).all():
        raise SystemExit(f"The organs in the PACS are not the phantom's: Dice {dice.round(3)}.")


def _parts(site: _Site) -> list[tuple[str, float]]:
    lines = (site.folder / "parts.jsonl").read_text().splitlines()
    return [(told["part"], told["seconds"]) for told in map(json.loads, lines)]


def _peak_mb(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
