"""Programs of others over what we write: dicom3tools and DCMTK, and what each says of itself."""

from __future__ import annotations

import html
import shutil
import subprocess
from typing import TYPE_CHECKING

import pydicom
import pytest

from clic_edge.domain.result import ResultKind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from clic_edge.domain.result import ResultObject

NUMBERED_FROM_ZERO = (
    "Error - SegmentNumber not monotonically increasing from one by one - have "
    "SegmentSequence item number 1 (from one) with SegmentNumber of 0"
)
UNKNOWN_TO_DCIODVFY = {
    ResultKind.SEG_LABELMAP: {
        "Error - Information Object Not found",
        NUMBERED_FROM_ZERO,
    }
}
"""Debian's dciodvfy is older than Label Map Segmentation: this alone it says of one."""


OF_DSRDUMP_ITSELF = (
    "W: The VR checker does not support",
    "W: Check for template constraints not yet supported",
)


def said(program: str, *arguments: object) -> str:
    if shutil.which(program) is None:
        pytest.skip(f"{program} isn't installed")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, check=False, timeout=60
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def stored(results: Iterable[ResultObject], folder: Path) -> dict[Path, ResultObject]:
    paths = {}
    for number, result in enumerate(results):
        path = folder / f"{result.kind}-{number}.dcm"
        path.write_bytes(result.content)
        paths[path] = result
    return paths


def errors_in(path: Path, result: ResultObject, originals: bytes) -> list[str]:
    """Return what dciodvfy finds wrong, but for the originals' own identifiers."""
    errors = [line for line in said("dciodvfy", path).splitlines() if "Error" in line]
    return [
        line
        for line in errors
        if line not in UNKNOWN_TO_DCIODVFY.get(result.kind, ())
        and ("Illegal root for UID" not in line or line.split('"')[1].encode() not in originals)
    ]


def assert_readable_report(path: Path) -> None:
    """Open a report with DCMTK, and find every text and number of it on the page."""
    complaints = [line for line in said("dsrdump", "-Ec", path).splitlines() if line[1:2] == ":"]
    assert [line for line in complaints if not line.startswith(OF_DSRDUMP_ITSELF)] == []
    page = html.unescape(said("dsr2html", path))
    assert "<html" in page
    words = [
        str(item.value)
        for item in pydicom.dcmread(path).iterall()
        if item.keyword in {"TextValue", "NumericValue"}
    ]
    assert words
    assert [word for word in words if word not in page] == []
