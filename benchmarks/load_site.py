"""The appliance under load: its own configuration, real processes, a PACS that counts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_packages import TOML, write_package
from servers import OrthancOptions, OrthancServer, free_port, kill, orthanc_server, wait_for
from sites import pipeline_toml

from clic_edge.app import Appliance
from clic_edge.config.archive import archive_configuration
from clic_edge.config.settings import Orthanc
from clic_edge.deid.keys import create_key
from clic_edge.ledger.database import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from load_traffic import Sent, Study

    from clic_edge.ledger import Ledger

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PASSWORD = "measured"  # noqa: S105 - of a server that lives for minutes, on loopback
STABLE_AGE = 3
"""Seconds; a site has sixty."""
_SETTINGS = """\
[appliance]
state_dir = "{folder}"
pipelines = "pipelines"
models = "models"
unsigned_models = true
deid_profiles = "{root}/configs/deid"
[orthanc]
url = "http://127.0.0.1:{http}"
username = "clic-edge"
password_file = "{folder}/orthanc.password"
[senders]
listed = ["MODALITY@127.0.0.1"]
[worker]
reconcile_seconds = 10
[web]
port = {web}
[destinations.pacs]
kind = "dimse"
host = "127.0.0.1"
port = {pacs}
called_ae_title = "PACS"
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What runs."""

    folder: Path
    orthanc: OrthancServer
    ledger: Ledger
    processes: dict[str, int]
    received: Path
    """SOP Instance UIDs that the PACS got, one a line."""


@contextmanager
def orthanc_alone(folder: Path, *, settings: Path | None = None) -> Iterator[OrthancServer]:
    """Run Orthanc as the appliance configures it; with our plugin where there are settings."""
    configuration = folder / "configuration"
    configuration.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "appliance" / "orthanc.json").read_text(encoding="utf-8")
    if not settings:
        text = re.sub(r',\s*"[^"]*/libOrthancPython.so"', "", text)
    (configuration / "10-appliance.json").write_text(text, encoding="utf-8")
    (configuration / "20-site.json").write_text(
        archive_configuration(
            Orthanc(username="clic-edge", password_file=folder / "orthanc.password"), PASSWORD
        )
    )
    ports = _ports(settings) if settings else {}
    options = OrthancOptions(
        template=configuration,
        storage=folder / "orthanc",
        stable_age=STABLE_AGE,
        python_plugin=ROOT / "orthanc-plugins" / "clic_edge.py" if settings else None,
        environment=_environment() | ({"CLIC_EDGE_SETTINGS": str(settings)} if settings else {}),
        http_port=ports.get("http"),
        log_in=("clic-edge", PASSWORD),
    )
    with orthanc_server(options) as server:
        yield server


@contextmanager
def site(folder: Path, *, whole: bool) -> Iterator[Site]:
    """Run Orthanc with the plugin; the `whole` appliance also has a worker, pages and a PACS."""
    pacs, received = free_port(), folder / "received.txt"
    settings = _plan(folder, pacs)
    received.touch()
    appliance = Appliance.open(settings)
    migrate(appliance.engine)
    with ExitStack() as stack:
        orthanc = stack.enter_context(orthanc_alone(folder, settings=settings))
        processes = {"Orthanc with plugin": orthanc.pid}
        if whole:
            own = ("-m", "clic_edge", "-c", str(settings))
            web = f"127.0.0.1:{appliance.settings.web.port}"
            started = {
                "PACS": (str(HERE / "load_pacs.py"), str(pacs), str(received)),
                "worker": (*own, "serve"),
                "web": (*own, "web"),
            }
            for name, command in started.items():
                run = stack.enter_context(_running(folder / f"{name}.log", command))
                processes[name] = run.pid
            wait_for(lambda: "worker-started" in (folder / "worker.log").read_text(), "a worker")
            wait_for(lambda: _listens(web), "pages")
        yield Site(
            folder=folder,
            orthanc=orthanc,
            ledger=appliance.ledger,
            processes=processes,
            received=received,
        )
    appliance.engine.dispose()


@contextmanager
def _running(log: Path, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | _environment(),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        kill(process)


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    return not subprocess.call(
        [sys.executable, "-c", f"import socket; socket.create_connection(('{host}', {port}), 2)"],
        stderr=subprocess.DEVNULL,
    )


def _plan(folder: Path, pacs: int) -> Path:
    write_package(folder / "models" / "hippocampus", toml=_light())
    (folder / "pipelines").mkdir()
    pipeline = pipeline_toml(quiet_seconds="1")
    (folder / "pipelines" / "hippocampus.toml").write_text(pipeline)
    create_key(folder / "deid.key")
    (folder / "orthanc.password").write_text(f"{PASSWORD}\n")
    (folder / "orthanc.password").chmod(0o600)
    settings = folder / "clic-edge.toml"
    values = {"folder": folder, "root": ROOT, "http": free_port(), "web": free_port()}
    settings.write_text(_SETTINGS.format(pacs=pacs, **values))
    return settings


def _light() -> str:
    """Return the tests' light model, for series of the length that a CT has."""
    large = TOML.replace("[40, 40, 40]", "[4000, 4000, 4000]")
    return large.replace("shape = [8, 8, 8]", "shape = [64, 64, 64]").replace(
        "0.5\nbatch", "0.0\nbatch"
    )


def _ports(settings: Path) -> dict[str, int]:
    return {"http": int(Appliance.open(settings).settings.orthanc.url.rsplit(":", 1)[1])}


def _environment() -> dict[str, str]:
    path = os.pathsep.join(
        (str(ROOT / "src"), *(one for one in sys.path if "site-packages" in one))
    )
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Account:
    """What became of the studies, counted from the senders' side."""

    ends: Counter[str]
    """Of the one standing case of each study."""
    lost: tuple[str, ...]
    """Sentences on what is not as it should be; empty where nothing is lost or doubled."""
    objects: int
    """Of delivered cases, accepted by the PACS."""
    waits: tuple[float, ...]
    """Seconds from the last image of a study to its delivery."""


def account(here: Site, studies: Sequence[Study], sent: Sent) -> Account:
    """Hold the studies that were sent against Orthanc, the ledger and the PACS."""
    came = Counter(here.received.read_text().split())
    ends, lost, waits, objects = Counter[str](), list[str](), list[float](), set[str]()
    for study in studies:
        standing = [
            one for one in here.ledger.cases.of_study(study.handle) if one.state != "superseded"
        ]
        if len(standing) != 1:
            lost.append(f"study {study.number} has {len(standing)} standing cases")
            continue
        (case,) = standing
        ends[str(case.state)] += 1
        if case.state != study.expected:
            lost.append(f"study {study.number} ({study.fate}) is {case.state}: {case.code}")
        files = study.slices - (study.fate == "a slice in the middle never comes")
        if (held := _images(here.orthanc, study)) != files:
            lost.append(f"study {study.number}: Orthanc holds {held} of {files} images")
        if case.state == "delivered":
            uids = {one.sop_instance_uid for one in here.ledger.deliveries.receipts(case.case_id)}
            wrong = [uid for uid in uids if came[uid] != 1]
            objects |= uids
            lost += [f"study {study.number}: an object came {came[uid]} times" for uid in wrong]
            waits.append(max(0.0, case.updated_at.timestamp() - sent.done[study.handle]))
            if not uids:
                lost.append(f"study {study.number} is delivered without objects")
    lost += [f"study {number}: a sender failed" for number in sent.failed]
    return Account(ends=ends, lost=tuple(lost), objects=len(objects), waits=tuple(waits))


def _images(orthanc: OrthancServer, study: Study) -> int:
    series = orthanc.get(f"/studies/{study.handle}/series")
    if not isinstance(series, list):
        raise SystemExit("Orthanc answers no list of series.")
    return sum(
        len(one["Instances"])
        for one in series
        if one["MainDicomTags"]["Modality"] not in {"SEG", "SR"}
    )


def is_done(here: Site, studies: Sequence[Study]) -> bool:
    """Whether each study has a case, and all cases have ended."""
    if here.ledger.overview.open():
        return False
    return all(here.ledger.cases.of_study(one.handle) for one in studies)


def size_of(folder: Path) -> int:
    """Return the bytes that a folder takes on its disk."""
    told = subprocess.run(["du", "-s", "-B1", folder], check=True, capture_output=True, text=True)
    return int(told.stdout.split()[0])
