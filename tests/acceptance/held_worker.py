"""A worker that stops before a stage while the test does something to the world.

    held_worker.py SETTINGS HOLDS

While the file HOLDS/STAGE exists, every case waits before that stage, and a file says so: its name
is what stands in HOLDS/STAGE, so that a sign that comes late is none for the hold after.
"""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.app import Appliance, serve
from clic_edge.pipeline.worker import durably

if TYPE_CHECKING:
    from collections.abc import Callable


def step(holds: Path, name: str, stage: Callable[[], str]) -> str:
    """Run a stage durably, once nothing holds it any more."""
    while hold := _hold(holds / name):
        (holds / hold).touch()
        time.sleep(0.02)
    return durably(name, stage)


def _hold(path: Path) -> str:
    """Return the name of the sign that a hold asks for; nothing where there is no hold."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


telemetry.configure_logging("debug")
settings, folder = map(Path, sys.argv[1:])
serve(Appliance.open(settings), threading.Event(), partial(step, folder))
