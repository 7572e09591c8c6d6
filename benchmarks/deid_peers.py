"""The peers of the de-identification benchmark: a virtual environment of their own, and Orthanc."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from deid_report import Usage
from orthancs import running_orthanc
from rounds import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orthancs import Orthanc

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / "build" / "peers"
PEERS = ("dicognito", "deid")
_TICKS = os.sysconf("SC_CLK_TCK")


def peers_python() -> dict[str, Path]:
    """Return the interpreter of each peer that could be installed."""
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    found = {}
    for peer in PEERS:
        is_there = subprocess.run(
            [python, "-c", f"import {peer}"], check=False, capture_output=True
        )
        if is_there.returncode:
            pip = [python, "-m", "pip", "install", "--quiet", peer]
            if subprocess.run(pip, check=False).returncode:
                tell(f"{peer} cannot be installed here: left out")
                continue
        found[peer] = python
    return found


class OrthancAnonymizer:
    """An Orthanc that takes files over REST, and gives them back anonymized one by one."""

    def __init__(self, orthanc: Orthanc, pid: int) -> None:
        self._orthanc = orthanc
        self._pid = pid
        self._client = httpx.Client(base_url=orthanc.url, trust_env=False, timeout=60)

    def _take(self, folder: Path) -> dict[str, str]:
        """Store every file that Orthanc takes; return its identifier by file name."""
        ids = {}
        for path in sorted(folder.iterdir()):
            answer = self._client.post("/instances", content=path.read_bytes())
            if answer.is_success and isinstance(told := answer.json(), dict) and "ID" in told:
                ids[path.name] = told["ID"]
        return ids

    def anonymize(self, folder: Path, out: Path) -> Usage:
        """Store every file and write what `/anonymize` answers; CPU time is Orthanc's and ours."""
        out.mkdir(parents=True)
        self._orthanc.empty()
        cpu, begin = self._cpu() + time.process_time(), time.perf_counter()
        ids = self._take(folder)
        for name, identifier in ids.items():
            answer = self._client.post(
                f"/instances/{identifier}/anonymize",
                json={},
                headers={"Accept-Encoding": "identity"},
            )
            if answer.is_success:
                (out / name).write_bytes(answer.content)
        wall = time.perf_counter() - begin
        cpu = self._cpu() + time.process_time() - cpu
        return Usage(wall=wall, cpu=cpu, peak_kib=0, written=len(list(out.iterdir())))

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def orthanc_anonymizer(folder: Path) -> Iterator[OrthancAnonymizer]:
    """Start an empty Orthanc, and end it afterwards."""
    with running_orthanc(folder, "PEER") as orthanc:
        yield OrthancAnonymizer(orthanc, _child())


def _child() -> int:
    """Return the process that was started last: Orthanc's."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return int(children[-1])
