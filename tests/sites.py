"""A site for tests: a hospital's PACS, the appliance's Orthanc with our plugin, and workers."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
from factories import Patient, Stack, make_datasets
from hostile_doors import guarded
from ledgers import make_tables
from pydicom import dcmread
from servers import (
    OrthancOptions,
    OrthancServer,
    free_port,
    kill,
    orthanc_server,
    send_datasets,
    wait_for,
)

from clic_edge.app import Appliance
from clic_edge.config.archive import archive_configuration
from clic_edge.config.receiving import Orthanc
from clic_edge.deid.keys import create_key
from clic_edge.domain.result import ResultKind
from clic_edge.results.provenance import SERIES_OFFSET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.case import Case, CaseState
    from clic_edge.ledger import Ledger

ROOT = Path(__file__).resolve().parent.parent
CASE_SECONDS = 120.0
"""More than any case here takes on a busy machine."""
NEVER = 100_000.0
"""Seconds for a reconciler that looks at its start only: studies come by events, whole."""


def pipeline_toml(name: str = "hippocampus", more: str = "", **changes: str) -> str:
    """Return a pipeline like the one that ships, but for `changes`, given as TOML."""
    values = {
        "description": '"hippo"',
        "destinations": '["pacs"]',
        "writers": '["seg", "sr"]',
        "quiet_seconds": "0",
    } | changes
    return f"""\
name = "{name}"
title = "{name}"
model = "hippocampus"
deid_profile = "basic"
writers = {values["writers"]}
destinations = {values["destinations"]}
[rule]
modality = ["MR"]
series_description = {values["description"]}
instances = {{ min = 2 }}
[completeness]
quiet_seconds = {values["quiet_seconds"]}
{more}
"""


def dimse_toml(name: str, port: int, ae_title: str) -> str:
    """Return the settings of a destination that takes C-STORE."""
    return f"""
[destinations.{name}]
kind = "dimse"
host = "127.0.0.1"
port = {port}
called_ae_title = "{ae_title}"
timeout_s = 30
"""


@dataclass(frozen=True, kw_only=True)
class SiteOptions:
    """What differs from test to test."""

    pipelines: Mapping[str, str] = field(default_factory=lambda: {"hippocampus": pipeline_toml()})
    """TOML by name."""
    destinations: str = ""
    """TOML, beside ``pacs`` and ``web``, which are one PACS by C-STORE and by STOW-RS."""
    database: str = ""
    """URL; empty for SQLite in the site's folder."""
    models: Path = ROOT / "models"
    unsigned: bool = False
    """Whether packages run that nobody signed."""
    pacs_more: str = ""
    """TOML at the end of the settings of ``pacs``."""
    orthanc: Mapping[str, object] = field(default_factory=dict)
    """Added to the configuration of the appliance's Orthanc, or in place of what stands there."""
    reserve_megabytes: int = 4
    """What stays free on the disks of the appliance's Orthanc."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of every process of the appliance, beside what the tests have."""
    packages: tuple[Path, ...] = ()
    """Folders with packages of third parties."""
    reconcile_seconds: float = 0.5
    concurrent_cases: int = 2
    unknown_senders: str = "take"
    more: str = ""
    """TOML at the end of the settings."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What was started, and where it lies."""

    folder: Path
    options: SiteOptions
    orthanc: OrthancServer
    """The appliance's."""
    pacs: OrthancServer
    metrics_port: int

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.folder / "clic-edge.toml"

    @property
    def log(self) -> Path:
        """What every worker of this site has written, at debug level."""
        return self.folder / "worker.log"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a worker, and of Orthanc."""
        return environment(self.options.packages) | dict(self.options.environment)

    @property
    def ledger(self) -> Ledger:
        """The site's ledger."""
        return _appliance(self.settings).ledger

    def hang_up(self) -> None:
        """Close this process's own connections to the ledger."""
        _appliance(self.settings).engine.dispose()

    def send(self, datasets: Sequence[Dataset]) -> str:
        """Send datasets of one study to the appliance; return Orthanc's handle of the study."""
        send_datasets(datasets, self.orthanc)
        return study_handle(datasets[0])

    def cases(self, study_id: str) -> tuple[Case, ...]:
        """Return the cases of a study, oldest first."""
        return self.ledger.cases.of_study(study_id)

    def await_case(self, study_id: str, *states: CaseState, pipeline: str = "") -> Case:
        """Return the study's newest case (of a pipeline) once it is in one of the states."""
        deadline = time.monotonic() + CASE_SECONDS
        while True:
            cases = [case for case in self.cases(study_id) if pipeline in ("", case.pipeline)]
            found = [case for case in cases if case.state in states]
            if found:
                return found[-1]
            if time.monotonic() > deadline:
                seen = [(case.pipeline, str(case.state), case.code) for case in cases]
                pytest.fail(f"no case is {' or '.join(states)}, but {seen}")
            time.sleep(0.05)

    def ask(self, study_id: str, method: str = "GET") -> httpx.Response:
        """Ask the plugin about a study, or to run it now."""
        url = f"{self.orthanc.url}/clic-edge/studies/{study_id}"
        return httpx.request(method, url, timeout=30, trust_env=False)

    @contextmanager
    def worker(self, *, script: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker, or a Python script that runs one; kill it at the end, which must do no harm."""
        command = ["-m", "clic_edge", "-c", str(self.settings), "--debug", "serve"]
        begun = self._starts()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *(script or command)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )
        try:
            wait_for(
                lambda: process.poll() is not None or self._starts() > begun,
                "the worker starts",
                CASE_SECONDS,
            )
            assert process.poll() is None, self.log.read_text()
            yield process
        finally:
            kill(process)

    def _starts(self) -> int:
        return self.log.read_bytes().count(b'"worker-started"') if self.log.exists() else 0


@contextmanager
def running_site(folder: Path, options: SiteOptions | None = None) -> Iterator[Site]:
    """Start a PACS and the appliance's Orthanc; the test starts the worker."""
    with orthanc_server(OrthancOptions(ae_title="PACS")) as pacs:
        site = plan_site(folder, options or SiteOptions(), pacs)
        make_tables(_appliance(site.settings).engine)
        with appliance_orthanc(site) as orthanc:
            yield replace(site, orthanc=orthanc)


def plan_site(folder: Path, options: SiteOptions, pacs: OrthancServer) -> Site:
    """Write settings, pipelines and key; nothing of it runs yet."""
    site = Site(
        folder=folder,
        options=options,
        orthanc=OrthancServer(
            url=f"http://127.0.0.1:{free_port()}",
            dicom_port=free_port(),
            ae_title="CLICEDGE",
            storage=folder / "orthanc",
            log_path=folder / "none",
            pid=0,
        ),
        pacs=pacs,
        metrics_port=free_port(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pipelines").mkdir()
    for name, toml in options.pipelines.items():
        (folder / "pipelines" / f"{name}.toml").write_text(toml)
    create_key(folder / "deid.key")
    site.settings.write_text(_settings(site))
    return site


@contextmanager
def appliance_orthanc(site: Site, *, plugin: bool = True) -> Iterator[OrthancServer]:
    """Run the site's own Orthanc, on the same storage and ports each time."""
    ours = {"Settings": str(site.settings), "ReserveMegabytes": site.options.reserve_megabytes}
    options = OrthancOptions(
        ae_title=site.orthanc.ae_title,
        python_plugin=ROOT / "orthanc-plugins" / "clic_edge.py" if plugin else None,
        environment=guarded(site.environment),
        configuration={"ClicEdge": ours, **site.options.orthanc},
        storage=site.orthanc.storage,
        http_port=site.orthanc.http_port,
        dicom_port=site.orthanc.dicom_port,
    )
    with orthanc_server(options) as server:
        yield server


def shipped_configuration(folder: Path, password: str) -> Path:
    """Return a folder with the configuration that the appliance's Orthanc ships with, and a user."""
    folder.mkdir()
    (folder / "10-appliance.json").symlink_to(ROOT / "appliance" / "orthanc.json")
    told = Orthanc(username="clic-edge", password_file=folder / "password")
    (folder / "20-site.json").write_text(archive_configuration(told, password))
    return folder


def command_line(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command of `clic-edge` on a terminal that is wide enough for its sentences."""
    return subprocess.run(
        [sys.executable, "-m", "clic_edge", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=CASE_SECONDS,
        env=environment() | {"COLUMNS": "400"},
    )


def results_in(server: OrthancServer, study_id: str) -> dict[str, bytes]:
    """Return what tells of findings in an Orthanc's study, as files, by SOP Instance UID."""
    return {uid: file for uid, file in ours_in(server, study_id).items() if not _is_root(file)}


def roots_in(server: OrthancServer, study_id: str) -> list[Dataset]:
    """Return what tells of whole cases in an Orthanc's study."""
    files = ours_in(server, study_id).values()
    return [dcmread(io.BytesIO(file)) for file in files if _is_root(file)]


def texts_of(sr: Dataset) -> list[str]:
    """Return every sentence of a report."""
    inner = [text for item in sr.get("ContentSequence", []) for text in texts_of(item)]
    return [sr.TextValue, *inner] if "TextValue" in sr else inner


def _is_root(file: bytes) -> bool:
    return int(dcmread(io.BytesIO(file)).SeriesNumber) % 100 == SERIES_OFFSET[ResultKind.SUMMARY]


def ours_in(server: OrthancServer, study_id: str) -> dict[str, bytes]:
    """Return everything that we wrote of a study in an Orthanc, by SOP Instance UID."""
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        answer = client.get(f"/studies/{study_id}/series")
        series = [] if answer.status_code == httpx.codes.NOT_FOUND else answer.json()
        files = [
            client.get(f"/instances/{instance}/file").content
            for one in series
            if one["MainDicomTags"]["Modality"] in {"SEG", "SR"}
            for instance in one["Instances"]
        ]
    return {str(dcmread(io.BytesIO(file)).SOPInstanceUID): file for file in files}


def study_handle(dataset: Dataset) -> str:
    """Return Orthanc's identifier of the dataset's study."""
    text = f"{dataset.PatientID}|{dataset.StudyInstanceUID}"
    digest = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - so does Orthanc
    return "-".join(digest[i : i + 8] for i in range(0, 40, 8))


def patient(number: int) -> Patient:
    """Return a patient with a study of its own."""
    root = f"1.2.826.0.1.3680043.10.1561.{1000 + number}"
    return Patient(
        patient_id=f"PAT{number:05}",
        accession_number=f"ACC{number:05}",
        study_instance_uid=f"{root}.1",
        uid_root=f"{root}.2",
    )


def hippocampus_study(number: int, **changes: object) -> list[Dataset]:
    """Return a series that the real model takes and finds something in, as study `number`."""
    stack = replace(
        Stack(patient=patient(number), description="Hippocampus L"),
        **changes,  # type: ignore[arg-type]
    )
    return make_datasets(stack, hippocampus())


def hippocampus() -> NDArray[np.int16]:
    """Return voxels (slices, rows, columns) with a bright, long body in noise."""
    shape = (24, 40, 28)
    middle, radii = np.array((12, 20, 14)), np.array((5, 14, 5))
    at = np.moveaxis(np.indices(shape), 0, -1)
    body = (((at - middle) / radii) ** 2).sum(axis=-1) < 1
    noise = np.random.default_rng(0).integers(0, 20, shape)
    return (100 + 300 * body + noise).astype(np.int16)


@cache
def _appliance(settings: Path) -> Appliance:
    return Appliance.open(settings)


def environment(packages: Sequence[Path] = ()) -> dict[str, str]:
    """Return the environment of a process of the appliance."""
    # Orthanc's Python is Debian's: it is told where ours keeps its packages.
    site_packages = sysconfig.get_path("purelib")
    path = os.pathsep.join(map(str, (ROOT / "src", *packages, site_packages)))
    return os.environ | {"PYTHONPATH": path}


def _settings(site: Site) -> str:
    folder, options = site.folder, site.options
    database = f'database = "{options.database}"' if options.database else ""
    return f"""\
[appliance]
state_dir = "{folder}"
{database}
pipelines = "pipelines"
models = "{options.models}"
model_keys = "{ROOT / "configs" / "model-keys"}"
unsigned_models = {str(options.unsigned).lower()}
deid_profiles = "{ROOT / "configs" / "deid"}"
[orthanc]
url = "{site.orthanc.url}"
[senders]
unknown = "{options.unknown_senders}"
[worker]
metrics_port = {site.metrics_port}
reconcile_seconds = {options.reconcile_seconds}
concurrent_cases = {options.concurrent_cases}
first_retry_seconds = 0.2
longest_retry_seconds = 0.5
{dimse_toml("pacs", site.pacs.dicom_port, site.pacs.ae_title)}{options.pacs_more}
[destinations.web]
kind = "dicomweb"
url = "{site.pacs.url}/dicom-web"
{options.destinations}
{options.more}
"""
