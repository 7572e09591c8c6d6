"""Real Orthancs on free loopback ports, gone when the benchmark ends."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 30
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
NO_DELAY = {"TCP_NODELAY": "1"}
"""For Orthanc and DCMTK alike: small packets do not wait for acknowledgements."""


@dataclass(frozen=True, kw_only=True)
class Orthanc:
    """A running Orthanc."""

    ae_title: str
    http_port: int
    dicom_port: int

    @property
    def url(self) -> str:
        """Root of the REST interface."""
        return f"http://127.0.0.1:{self.http_port}"

    def ids(self, level: str) -> list[str]:
        """Return Orthanc's identifiers of all ``studies``, ``series`` or ``instances``."""
        found: list[str] = httpx.get(f"{self.url}/{level}", trust_env=False).json()
        return found

    def empty(self) -> None:
        """Delete every study."""
        for study in self.ids("studies"):
            httpx.delete(f"{self.url}/studies/{study}", trust_env=False, timeout=60)


@contextmanager
def running_orthanc(folder: Path, ae_title: str) -> Iterator[Orthanc]:
    """Start an Orthanc that keeps its files under `folder`, and end it afterwards."""
    http_port, dicom_port = _free_ports(2)
    orthanc = Orthanc(ae_title=ae_title, http_port=http_port, dicom_port=dicom_port)
    home = folder / ae_title
    home.mkdir(parents=True)
    (home / "orthanc.json").write_text(json.dumps(_configuration(orthanc, home)))
    with (home / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            [program("Orthanc"), str(home / "orthanc.json")],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | NO_DELAY,
        )
    try:
        _wait(process, orthanc, home / "orthanc.log")
        yield orthanc
    finally:
        process.kill()
        process.wait()


def program(name: str) -> str:
    """Return where a program lies, or end the benchmark with what to install."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is missing: apt-get install orthanc orthanc-dicomweb dcmtk")
    return found


def _configuration(orthanc: Orthanc, home: Path) -> dict[str, object]:
    return {
        "Name": orthanc.ae_title,
        "DicomAet": orthanc.ae_title,
        "HttpPort": orthanc.http_port,
        "DicomPort": orthanc.dicom_port,
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "storage"),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "StableAge": 1,
        "Plugins": [PLUGIN],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _wait(process: subprocess.Popen[bytes], orthanc: Orthanc, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            orthanc.ids("studies")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"Orthanc did not start:\n{log.read_text(errors='replace')}")
