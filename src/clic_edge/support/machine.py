"""What runs on the machine, and how it is: versions, disk, clock, ports."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clic_edge import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SECONDS: Final = 20
_DEBIAN: Final = ("orthanc*", "dcmtk", "dicom3tools", "postgresql*", "python3.11", "gdcm*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A program and its version."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What runs here."""

    clic_edge: str
    python: str
    system: str
    """As `/etc/os-release` calls it."""
    kernel: str
    processor: str
    cores: int
    gpus: tuple[str, ...]
    """Name, driver and memory, as `nvidia-smi` tells them."""
    packages: tuple[Version, ...]
    """Of Python."""
    debian: tuple[Version, ...]
    """Debian packages that the appliance stands on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port, and whether somebody answers there."""

    what: str
    answers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A place that was asked whether it is there."""

    place: str
    code: str
    """Empty where it answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One line of `clic-edge check`."""

    what: str
    verdict: str
    """`ok`, `look` or `no`."""
    code: str
    """Of the error; empty where there is none."""
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the machine is now."""

    at: datetime
    time_zone: str
    clock_synchronised: str
    """As `timedatectl` says; empty where it can't be asked."""
    disk_total_bytes: int
    disk_free_bytes: int
    """Of the disk with `appliance.state_dir`."""
    memory: tuple[str, ...]
    """The first lines of `/proc/meminfo`."""
    load: tuple[float, float, float]
    ports: tuple[Port, ...]
    asked: tuple[Asked, ...]


def versions() -> Versions:
    """Return what runs on this machine."""
    packages = {one.name: one.version for one in distributions() if one.name}
    return Versions(
        clic_edge=__version__,
        python=sys.version.split()[0],
        system=_os_release(),
        kernel=platform.release(),
        processor=platform.machine(),
        cores=os.cpu_count() or 0,
        gpus=_lines(
            ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
        ),
        packages=tuple(Version(name=name, version=packages[name]) for name in sorted(packages)),
        debian=tuple(_debian()),
    )


def health(state: Path, ports: Iterable[tuple[str, int]], asked: tuple[Asked, ...]) -> Health:
    """Return how the machine is; `ports` are those on loopback that somebody should listen on."""
    disk = shutil.disk_usage(state if state.is_dir() else Path("/"))
    now = datetime.now(UTC)
    return Health(
        at=now,
        time_zone=now.astimezone().tzname() or "",
        clock_synchronised="".join(
            _lines(("timedatectl", "show", "--property=NTPSynchronized", "--value"))
        ),
        disk_total_bytes=disk.total,
        disk_free_bytes=disk.free,
        memory=tuple(_read(Path("/proc/meminfo")).splitlines()[:5]),
        load=os.getloadavg(),
        ports=tuple(Port(what=what, answers=_answers(port)) for what, port in ports),
        asked=asked,
    )


def _debian() -> Iterable[Version]:
    wanted = ("dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *_DEBIAN)
    for line in _lines(wanted):
        name, _, version = line.partition(" ")
        if version:
            yield Version(name=name, version=version)


def _os_release() -> str:
    named = (line.partition("=") for line in _read(Path("/etc/os-release")).splitlines())
    return next((value.strip('"') for key, _, value in named if key == "PRETTY_NAME"), "")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _lines(words: Sequence[str]) -> tuple[str, ...]:
    """Return what a program of the system says; nothing where it is not there, or has no answer."""
    program = shutil.which(words[0])
    if program is None:
        return ()
    try:
        ran = subprocess.run(  # noqa: S603 - a program of the system, and words of ours
            [program, *words[1:]], check=False, capture_output=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(ran.stdout.decode("utf-8", errors="replace").splitlines())


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
