"""A worker that stops before a stage while the test does something to the world.

    held_worker.py SETTINGS HOLDS

While the file HOLDS/STAGE exists, every case waits before that stage, and HOLDS/STAGE.held says so.
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
    while (holds / name).exists():
        (holds / f"{name}.held").touch()
        time.sleep(0.02)
    return durably(name, stage)


telemetry.configure_logging("debug")
settings, folder = map(Path, sys.argv[1:])
serve(Appliance.open(settings), threading.Event(), partial(step, folder))
