"""What lies too deep, by every door of Orthanc, and the library that it is guarded by."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import hostile_files as made
import httpx
import pytest
from hostile_studies import associated, send_files
from pynetdicom.sop_class import Verification
from source import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servers import OrthancServer

SOURCE = ROOT / "appliance" / "orthanc" / "nesting.cpp"
DEEPEST = 128
"""What the guard lets through."""
_IMPLICIT_HEAD = struct.pack("<HHL", 0x0008, 0x1115, made.UNDEFINED) + made.ITEM
_PDV = 16_000
_COMMAND, _LAST = 1, 2
_SECONDS = 60.0


@cache
def nesting_guard() -> Path | None:
    """Return the library as the bundle has it, compiled once on this machine; None without g++."""
    compiler, text = shutil.which("g++"), SOURCE.read_bytes()
    if not compiler:
        return None
    name = f"clic-edge-nesting-{os.getuid()}-{hashlib.sha256(text).hexdigest()[:12]}.so"
    library = Path(tempfile.gettempdir(), name)
    if not library.exists():
        made_here = library.with_suffix(f".{os.getpid()}")
        words = (compiler, "-shared", "-fPIC", "-O2", "-o", str(made_here), str(SOURCE))
        subprocess.run(words, check=True)
        made_here.replace(library)
    return library


def guarded(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for Orthanc with the guard, as its unit has it, where there is one."""
    loaded = [environment.get("LD_PRELOAD", ""), str(nesting_guard() or "")]
    return {**environment, "LD_PRELOAD": ":".join(filter(None, loaded))}


def require_guard() -> None:
    """Skip the test where the guard can't be compiled."""
    if not nesting_guard():
        pytest.skip("no guard can be made without a C++ compiler: apt-get install g++")


def deep(depth: int, *, number: int = 1, syntax: str = made.EXPLICIT) -> bytes:
    """Return an image with sequences that deep in each other."""
    return made.part10(made.image(number) | {0x00081115: made.nested(depth)}, syntax)


def by_instances(content: bytes, server: OrthancServer) -> int:
    """Return what Orthanc's own way to store answers."""
    return _posted(server, "/instances", content, "application/dicom")


def by_stow(content: bytes, server: OrthancServer) -> int:
    """Return what STOW-RS answers (PS3.18 10.5)."""
    body = b"--PART\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--PART--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=PART'
    return _posted(server, "/dicom-web/studies", body, kind)


def by_c_store(content: bytes, server: OrthancServer) -> int | None:
    """Return the status of a C-STORE; None where the association was aborted instead."""
    try:
        (status,) = send_files([content], server, made.EXPLICIT)
    except AttributeError:  # pynetdicom's answer without a status
        return None
    return status


def by_command(depth: int, server: OrthancServer) -> bool:
    """Send a command set that deep, as nobody who was allowed; return whether that ended it."""
    nested = _IMPLICIT_HEAD * depth
    with associated(server, Verification, "1.2.840.10008.1.2") as association:
        sender = association.dul.socket.socket
        with suppress(OSError):  # it ends in the middle
            for start in range(0, len(nested), _PDV):
                part = nested[start : start + _PDV]
                last = _LAST if start + _PDV >= len(nested) else 0
                value = struct.pack(">LBB", len(part) + 2, 1, _COMMAND | last) + part
                sender.sendall(struct.pack(">BBL", 4, 0, len(value)) + value)
        association.join(_SECONDS)
        return not association.is_alive()


def _posted(server: OrthancServer, path: str, body: bytes, kind: str) -> int:
    answer = httpx.post(
        f"{server.url}{path}",
        content=body,
        headers={"Content-Type": kind},
        timeout=_SECONDS,
        trust_env=False,
    )
    return answer.status_code
