"""Real servers for tests, on free loopback ports, gone when the test ends."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pynetdicom import AE, evt

from clic_edge.pacs.association import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from http.client import HTTPResponse

    from pydicom.dataset import Dataset

PLUGINS = Path("/usr/share/orthanc/plugins")
POSTGRES_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
START_SECONDS = 120.0
"""More than anything here takes on a busy machine."""


@dataclass(frozen=True, kw_only=True)
class OrthancOptions:
    """What may differ from test to test. Give `storage` and both ports to start the same again."""

    ae_title: str = "CLICEDGE"
    stable_age: int = 2
    """Seconds without a new instance until StableStudy: on a busy machine the images of one
    association come more than one second apart."""
    dicomweb: bool = True
    python_plugin: Path | None = None
    """A script for Orthanc's Python plugin."""
    environment: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[str, object] = field(default_factory=dict)
    """Added to the configuration, or in place of what stands there."""
    storage: Path | None = None
    """Kept when given, a temporary folder otherwise."""
    http_port: int | None = None
    dicom_port: int | None = None
    template: Path | None = None
    """A configuration that takes all this from the environment, as ``appliance/orthanc.json``."""
    log_in: tuple[str, str] = ("", "")
    """Name and password, where the configuration asks for them."""


@dataclass(frozen=True, kw_only=True)
class OrthancServer:
    """A running Orthanc."""

    url: str
    dicom_port: int
    ae_title: str
    storage: Path
    log_path: Path
    pid: int
    log_in: tuple[str, str] = field(default=("", ""), repr=False)
    """Name and password by which the methods below ask."""

    @property
    def http_port(self) -> int:
        """The port in `url`."""
        return int(self.url.rsplit(":", 1)[1])

    def get(self, path: str) -> object:
        """Return the JSON that the REST API answers to GET."""
        with self._open("GET", path) as answer:
            return json.load(answer)

    def post(self, path: str, body: bytes) -> object:
        """Return the JSON that the REST API answers to POST."""
        with self._open("POST", path, body) as answer:
            return json.load(answer)

    def posted(self, path: str, body: bytes) -> int:
        """Return the HTTP status that the REST API answers to POST."""
        try:
            with self._open("POST", path, body) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def delete(self, path: str) -> None:
        """Delete one resource."""
        self._open("DELETE", path).close()

    def _open(self, method: str, path: str, body: bytes | None = None) -> HTTPResponse:
        basic = base64.b64encode(":".join(self.log_in).encode()).decode()
        headers = {"Authorization": f"Basic {basic}"} if self.log_in[0] else {}
        request = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310 - loopback
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=30)  # noqa: S310 - loopback
        return answer


def require(program: str, folders: Iterable[Path] = ()) -> str:
    """Return the program's path; skip the test where it is absent, or fail where it must be there."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *map(str, folders)])
    found = shutil.which(program, path=path)
    if found:
        return found
    reason = f"{program} is not installed"
    if os.environ.get("CI") == "true" or os.environ.get("CLIC_EDGE_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """Return a loopback port that nobody listens on.

    It lies below those that the kernel gives to outgoing connections: one of them could take it
    before the server does. No test gets it again, nor one in another process of this run.
    """
    worker, workers = (
        int(os.environ.get(f"PYTEST_XDIST_{name}", fallback).removeprefix("gw"))
        for name, fallback in (("WORKER", "gw0"), ("WORKER_COUNT", "1"))
    )
    while True:
        port = 10_000 + secrets.randbelow(22_000 // workers) * workers + worker
        if port not in _GIVEN and _can_be_bound(port):
            _GIVEN.add(port)
            return port


_GIVEN: set[int] = set()


def _can_be_bound(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for(holds: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Return when `holds`; fail the test when it does not within the time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.02)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def orthanc_server(options: OrthancOptions | None = None) -> Iterator[OrthancServer]:
    """Start an Orthanc, yield it when it answers, kill it at the end."""
    options = options or OrthancOptions()
    binary = require("Orthanc")
    with tempfile.TemporaryDirectory(prefix="clic-edge-orthanc-") as folder:
        http_port, dicom_port = options.http_port or free_port(), options.dicom_port or free_port()
        storage = options.storage or Path(folder) / "storage"
        storage.mkdir(parents=True, exist_ok=True)
        configuration = options.template or Path(folder) / "orthanc.json"
        if not options.template:
            configuration.write_text(
                json.dumps(_orthanc_configuration(options, storage, http_port, dicom_port))
            )
        log_path = Path(folder) / "orthanc.log"
        url = f"http://127.0.0.1:{http_port}"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [binary, str(configuration)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ
                | _orthanc_environment(options, storage, http_port, dicom_port)
                | {"CLIC_EDGE_ORTHANC_FILTER": str(_http_filter(options, Path(folder)))}
                | dict(options.environment),
                start_new_session=True,
            )
        try:
            wait_for(lambda: process.poll() is not None or _answers(url), "Orthanc answers")
            if process.poll() is not None:
                pytest.fail(f"Orthanc ended by itself:\n{log_path.read_text(errors='replace')}")
            yield OrthancServer(
                url=url,
                dicom_port=dicom_port,
                ae_title=options.ae_title,
                storage=storage,
                log_path=log_path,
                pid=process.pid,
                log_in=options.log_in,
            )
        finally:
            kill(process)


def _orthanc_environment(
    options: OrthancOptions, storage: Path, http_port: int, dicom_port: int
) -> dict[str, str]:
    return {
        "TCP_NODELAY": "1",
        "CLIC_EDGE_ORTHANC_STORAGE": str(storage),
        "CLIC_EDGE_ORTHANC_HTTP_PORT": str(http_port),
        "CLIC_EDGE_ORTHANC_DICOM_PORT": str(dicom_port),
        "CLIC_EDGE_ORTHANC_AE_TITLE": options.ae_title,
        "CLIC_EDGE_ORTHANC_STABLE_AGE": str(options.stable_age),
        "CLIC_EDGE_ORTHANC_PLUGIN": str(options.python_plugin or os.devnull),
    }


def _http_filter(options: OrthancOptions, folder: Path) -> Path:
    """Return the plugin's filter of HTTP requests; without our plugin one that lets all in."""
    plugin = options.python_plugin
    if plugin and (ours := plugin.with_name("room.lua")).exists():
        return ours
    none = folder / "none.lua"
    none.touch()
    return none


def _orthanc_configuration(
    options: OrthancOptions, storage: Path, http_port: int, dicom_port: int
) -> dict[str, object]:
    plugins = ["Gdcm", *(["DicomWeb"] if options.dicomweb else [])]
    python = {}
    if options.python_plugin:
        plugins.append("Python")
        python = {
            "PythonScript": str(options.python_plugin),
            "PythonVerbose": False,
            "LuaScripts": ["${CLIC_EDGE_ORTHANC_FILTER}"],
        }
    return {
        "Name": options.ae_title,
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": options.ae_title,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "StableAge": options.stable_age,
        "HttpCompressionEnabled": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "Plugins": [str(PLUGINS / f"libOrthanc{name}.so") for name in plugins],
        **python,
        **options.configuration,
    }


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/system", timeout=1).close()  # noqa: S310 - loopback
    except urllib.error.HTTPError:  # 401: it asks for a password
        return True
    except OSError:
        return False
    return True


def send(files: Iterable[Path], server: OrthancServer, calling_ae_title: str = "MODALITY") -> None:
    """Send DICOM files, or folders of them, by C-STORE as they are encoded."""
    paths = [inner for path in files for inner in ([path] if path.is_file() else path.rglob("*"))]
    send_datasets(
        [dcmread(path) for path in sorted(paths) if path.is_file()], server, calling_ae_title
    )


def send_datasets(
    datasets: Iterable[Dataset], server: OrthancServer, calling_ae_title: str = "MODALITY"
) -> None:
    """Send datasets by C-STORE as they are encoded; fail when one is not taken."""
    datasets = list(datasets)
    if not datasets:
        return
    ae = AE(calling_ae_title)
    for sop_class, syntax in {(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in datasets}:
        ae.add_requested_context(sop_class, syntax)
    association = ae.associate(
        "127.0.0.1",
        server.dicom_port,
        ae_title=server.ae_title,
        evt_handlers=[(evt.EVT_CONN_OPEN, prepare, [threading.Event()])],
    )
    assert association.is_established
    for ds in datasets:
        assert association.send_c_store(ds).Status == 0x0000
    association.release()


@dataclass(frozen=True, kw_only=True)
class DcmtkReceiver:
    """A running DCMTK ``storescp`` and the folder it writes to."""

    port: int
    ae_title: str
    folder: Path


@contextmanager
def dcmtk_receiver(*options: str) -> Iterator[DcmtkReceiver]:
    """Start ``storescp`` with further command-line options; kill it at the end."""
    binary, port = require("storescp"), free_port()
    with tempfile.TemporaryDirectory(prefix="clic-edge-storescp-") as folder:
        process = subprocess.Popen(
            [binary, *options, "-aet", "DCMTK", "-od", folder, str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"TCP_NODELAY": "1"},
            start_new_session=True,
        )
        try:
            wait_for(lambda: _listens(port), "storescp listens")
            yield DcmtkReceiver(port=port, ae_title="DCMTK", folder=Path(folder))
        finally:
            kill(process)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A running PostgreSQL with one empty database."""

    url: str
    """For SQLAlchemy, with psycopg as the driver."""
    port: int
    folder: Path


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a PostgreSQL cluster of its own, yield it when it answers, kill it at the end."""
    initdb, postgres = (require(name, POSTGRES_BINARIES) for name in ("initdb", "postgres"))
    port = free_port()
    # PostgreSQL refuses to run as root.
    as_user = [require("runuser"), "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="clic-edge-postgres-") as folder:
        if as_user:
            shutil.chown(folder, "postgres")
        cluster = Path(folder) / "cluster"
        subprocess.run(
            [*as_user, initdb, "--auth=trust", "--no-sync", "-U", "clic", "-D", str(cluster)],
            check=True,
            capture_output=True,
            cwd="/",
        )
        with (Path(folder) / "postgres.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(*as_user, postgres, "-D", str(cluster), "-k", folder, "-p", str(port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )
        try:
            _await_postgres(port, process)
            url = f"postgresql+psycopg://clic@127.0.0.1:{port}/clic_edge"
            yield PostgresServer(url=url, port=port, folder=Path(folder))
        finally:
            _end_postgres(cluster, process)


def _end_postgres(cluster: Path, process: subprocess.Popen[bytes]) -> None:
    """Ask for an immediate shutdown: its children have sessions of their own and go with it."""
    try:
        postmaster = int((cluster / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGQUIT)
        process.wait(timeout=10)
    except (FileNotFoundError, ProcessLookupError, subprocess.TimeoutExpired):
        kill(process)


def _await_postgres(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers, then make the database."""
    import psycopg  # noqa: PLC0415 - only these tests need a database

    def made() -> bool:
        if process.poll() is not None:
            pytest.fail("PostgreSQL ended by itself")
        try:
            with psycopg.connect(
                f"postgresql://clic@127.0.0.1:{port}/postgres", autocommit=True
            ) as connection:
                connection.execute("CREATE DATABASE clic_edge")
        except psycopg.OperationalError:
            return False
        return True

    wait_for(made, "PostgreSQL answers")
