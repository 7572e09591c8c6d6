"""The machine: disk, clock, GPU."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clic_edge.constancy.environment import environment
from clic_edge.errors import ConfigError
from clic_edge.readiness.finding import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.config import Settings

GIB: Final = 1 << 30
FULL: Final = 2 * GIB
"""Free bytes below which a site can't go live: a large study, its results and the ledger."""
SCARCE: Final = 20 * GIB
"""Free bytes below which somebody should know: a day of a large department."""
_SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
_CHRONY: Final = Path("/run/chrony")
"""There while it runs; what is in it, only chrony may see."""
_BUILT: Final = 1_767_225_600.0
"""2026-01-01: no clock that is right shows an earlier moment."""


def machine(settings: Settings) -> Iterator[Finding]:
    """Yield what is to be said of the machine that this runs on."""
    yield disk(settings.appliance.state_dir, free=_free(settings.appliance.state_dir))
    yield clock(now=time.time(), is_led=_SYNCHRONISED.exists() or _CHRONY.exists())
    yield _gpu(settings)


def disk(folder: Path, *, free: int) -> Finding:
    """Return whether there is room."""
    seen = f"{free / GIB:.1f} GiB free at {folder}"
    if free < FULL:
        return Finding(
            what="disk",
            seen=seen,
            verdict=Verdict.NO,
            to_do=f"at least {FULL // GIB} GiB must be free",
            exit_code=ConfigError.exit_code,
        )
    if free < SCARCE:
        return Finding(what="disk", seen=seen, verdict=Verdict.LOOK, to_do="plan for a larger disk")
    return Finding(what="disk", seen=seen)


def clock(*, now: float, is_led: bool) -> Finding:
    """Return whether the clock can be right, and whether somebody keeps it so."""
    seen = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < _BUILT:
        return Finding(
            what="clock",
            seen=seen,
            verdict=Verdict.NO,
            to_do="set the clock; it is before this version was made",
            exit_code=ConfigError.exit_code,
        )
    if not is_led:
        return Finding(
            what="clock",
            seen=f"{seen}, led by nothing that is known here",
            verdict=Verdict.LOOK,
            to_do="compare it with a watch, and name the site's NTP server to systemd-timesyncd or "
            "chrony",
        )
    return Finding(what="clock", seen=f"{seen}, led by NTP")


def _free(folder: Path) -> int:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return shutil.disk_usage(there).free


def _gpu(settings: Settings) -> Finding:
    """Return where models run; the packages themselves are loaded when pipelines are looked at."""
    known = {one.name: one.value for one in environment(settings)}
    cores = os.cpu_count() or 1
    if "gpu" not in known:
        return Finding(what="GPU", seen=f"none; models run on {cores} cores")
    if "onnxruntime-gpu" not in known:
        return Finding(
            what="GPU",
            seen=f"{known['gpu']}, and nothing that can use it",
            verdict=Verdict.LOOK,
            to_do="install the extra `gpu`, or leave it: models run on the processor",
        )
    return Finding(what="GPU", seen=f"{known['gpu']}, driver {known.get('gpu driver', 'unknown')}")
