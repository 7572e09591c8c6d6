"""A hospital on one machine: a PACS, the appliance's Orthanc with our plugin, and the worker.

Every process listens on loopback, on ports that were free, and ends with the demo.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from clic_edge.accounts.door import Door
from clic_edge.app import Appliance
from clic_edge.config import load_settings
from clic_edge.config.archive import archive_configuration
from clic_edge.deid.keys import create_key
from clic_edge.domain.account import Role
from clic_edge.errors import ConfigError, Defect
from clic_edge.ledger.accounts import AccountRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
"""The source tree: the demo shows what ships in `configs/`, `models/` and `appliance/`."""
VIEWER = ROOT / "build" / "viewer"
"""Where `make viewer` puts the viewer."""
_PLUGINS = Path("/usr/share/orthanc/plugins")
_START_SECONDS = 30
_STOP_SECONDS = 15
USER = "clic-edge"
"""Who logs in to the appliance's Orthanc."""
VISITOR = "demo"
"""Name of the account of a run of the demo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orthanc:
    """One of the two Orthancs, by the ports that it listens on."""

    name: str
    ae_title: str
    http_port: int
    dicom_port: int
    password: str = field(default="", repr=False)
    """Of `USER`; the PACS asks for none."""

    @property
    def url(self) -> str:
        """Root of the REST interface."""
        return f"http://127.0.0.1:{self.http_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What runs."""

    pacs: Orthanc
    appliance: Orthanc
    web_port: int
    settings: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Where the pages are, and who may log in."""

    url: str
    name: str
    password: str = field(repr=False)


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Start everything in `folder`, which is emptied first, and end it afterwards.

    Raises
    ------
    ConfigError
        ``no-orthanc`` or ``no-source``: something that the demo needs is not on this machine.
    Defect
        ``did-not-start``: the sentence names the log.

    """
    _require()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    site = _plan(folder)
    with ExitStack() as stack:
        configurations = (
            (site.pacs, _pacs_configuration(site, folder)),
            (site.appliance, _appliance_configuration(site)),
        )
        for orthanc, configuration in configurations:
            command = ["Orthanc", str(configuration)]
            process = _start(stack, site, name=orthanc.name, command=command)
            _wait(process, f"{orthanc.url}/system", folder / f"{orthanc.name}.log")
        command = [sys.executable, "-m", "clic_edge", "-c", str(site.settings), "serve"]
        _start(stack, site, name="worker", command=command)
        yield site


@contextmanager
def running_pages(site: Site) -> Iterator[Visitor]:
    """Serve the appliance's pages, once it has a ledger, to an administrator made for this run.

    Raises Defect ``did-not-start``.
    """
    url = f"http://127.0.0.1:{site.web_port}"
    command = [sys.executable, "-m", "clic_edge", "-c", str(site.settings), "web"]
    with ExitStack() as stack:
        process = _start(stack, site, name="web", command=command)
        _wait(process, f"{url}/health", site.settings.parent / "web.log")
        yield _visitor(site, url)


def _visitor(site: Site, url: str) -> Visitor:
    ledger = Appliance.open(site.settings).ledger
    visitor = Visitor(url=url, name=VISITOR, password=secrets.token_urlsafe(12))
    new = AccountRecord(name=VISITOR, role=Role.ADMINISTRATOR, created_at=datetime.now(UTC))
    record = ledger.accounts.find(VISITOR) or ledger.accounts.add(new, by=VISITOR)
    Door(ledger).set_password(record, visitor.password, by=VISITOR)
    return visitor


def _require() -> None:
    if not (ROOT / "orthanc-plugins").is_dir():
        raise ConfigError("no-source", "The demo runs from a source tree: clone the repository.")
    missing = [
        name
        for name in ("OrthancPython", "OrthancDicomWeb")
        if not (_PLUGINS / f"lib{name}.so").exists()
    ]
    if missing or not shutil.which("Orthanc", path=_path()):
        raise ConfigError(
            "no-orthanc",
            "The demo needs Orthanc: apt-get install orthanc orthanc-python orthanc-dicomweb "
            "orthanc-gdcm",
        )


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin"


def _plan(folder: Path) -> Site:
    ports = _free_ports(6)
    pacs = Orthanc(name="pacs", ae_title="PACS", http_port=ports[0], dicom_port=ports[1])
    appliance = Orthanc(
        name="appliance",
        ae_title="CLICEDGE",
        http_port=ports[2],
        dicom_port=ports[3],
        password=secrets.token_urlsafe(12),
    )
    site = Site(
        pacs=pacs,
        appliance=appliance,
        web_port=ports[5],
        settings=folder / "clic-edge.toml",
    )
    _write_pipelines(folder / "pipelines")
    site.settings.write_text(_settings(site, folder, metrics_port=ports[4]))
    secret = folder / "orthanc-password"
    secret.touch(0o600)
    secret.write_text(site.appliance.password)
    create_key(folder / "deid.key")
    return site


def _write_pipelines(folder: Path) -> None:
    """Copy the pipelines that ship; nobody waits a minute for more images in a demo."""
    shutil.copytree(ROOT / "configs" / "pipelines", folder)
    for path in folder.glob("*.toml"):
        quiet = re.sub(r"(?m)^quiet_seconds = .*$", "quiet_seconds = 2", path.read_text())
        path.write_text(quiet)


def _settings(site: Site, folder: Path, metrics_port: int) -> str:
    return f"""\
[appliance]
name = "clic-edge demo"
state_dir = "{folder}"
pipelines = "pipelines"
models = "{ROOT / "models"}"
model_keys = "{ROOT / "configs" / "model-keys"}"
deid_profiles = "{ROOT / "configs" / "deid"}"

[orthanc]
url = "{site.appliance.url}"
username = "{USER}"
password_file = "orthanc-password"

[senders]
listed = ["{site.pacs.ae_title}@127.0.0.1"]

[worker]
metrics_port = {metrics_port}
reconcile_seconds = 5
first_retry_seconds = 2

[web]
port = {site.web_port}
viewer = "{VIEWER}"

[destinations.pacs]
kind = "dimse"
host = "127.0.0.1"
port = {site.pacs.dicom_port}
called_ae_title = "{site.pacs.ae_title}"
calling_ae_title = "{site.appliance.ae_title}"
"""


def _appliance_configuration(site: Site) -> Path:
    """Return the folder of the appliance's own: what ships, and who may log in."""
    folder = site.settings.parent / "orthanc-configuration"
    folder.mkdir()
    (folder / "10-appliance.json").symlink_to(ROOT / "appliance" / "orthanc.json")
    orthanc = load_settings(site.settings).orthanc
    site_file = folder / "20-site.json"
    site_file.touch(0o600)
    site_file.write_text(archive_configuration(orthanc, site.appliance.password))
    return folder


def _pacs_configuration(site: Site, folder: Path) -> Path:
    """Write the configuration of the hospital's PACS, which knows the appliance as a modality."""
    appliance = site.appliance
    configuration = {
        "Name": site.pacs.name,
        "DicomAet": site.pacs.ae_title,
        "HttpPort": site.pacs.http_port,
        "DicomPort": site.pacs.dicom_port,
        "StorageDirectory": str(folder / site.pacs.name),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomModalities": {
            "appliance": [appliance.ae_title, "127.0.0.1", appliance.dicom_port],
        },
    }
    path = folder / f"{site.pacs.name}.json"
    path.write_text(json.dumps(configuration, indent=1))
    return path


def _appliance_environment(site: Site, folder: Path) -> dict[str, str]:
    """Fill the placeholders of `appliance/orthanc.json`."""
    return {
        "CLIC_EDGE_ORTHANC_STORAGE": str(folder / site.appliance.name),
        "CLIC_EDGE_ORTHANC_HTTP_PORT": str(site.appliance.http_port),
        "CLIC_EDGE_ORTHANC_DICOM_PORT": str(site.appliance.dicom_port),
        "CLIC_EDGE_ORTHANC_AE_TITLE": site.appliance.ae_title,
        "CLIC_EDGE_ORTHANC_STABLE_AGE": "1",
        "CLIC_EDGE_ORTHANC_PLUGIN": str(ROOT / "orthanc-plugins" / "clic_edge.py"),
        "CLIC_EDGE_ORTHANC_FILTER": str(ROOT / "orthanc-plugins" / "room.lua"),
        "CLIC_EDGE_SETTINGS": str(site.settings),
    }


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _start(
    stack: ExitStack, site: Site, *, name: str, command: list[str]
) -> subprocess.Popen[bytes]:
    folder = site.settings.parent
    log = stack.enter_context((folder / f"{name}.log").open("wb"))
    # Orthanc waits for acknowledgements of small packets unless told otherwise: three times faster.
    environment = os.environ | {
        "PATH": _path(),
        "TCP_NODELAY": "1",
        "PYTHONPATH": os.pathsep.join(_packages()),
        **_appliance_environment(site, folder),
    }
    process = subprocess.Popen(  # noqa: S603 - our own programs
        command,
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    stack.callback(_stop, process)
    return process


def _packages() -> list[str]:
    """Return where this Python finds the package and what it needs, for Orthanc's Python too."""
    found = (Path(entry) for entry in sys.path if entry)
    third_party = [str(path) for path in found if path.name == "site-packages"]
    return [str(ROOT / "src"), *third_party]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(address, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise Defect("did-not-start", f"A server of the demo did not start; {log} says why.")
