"""A worker that holds one case at a point while the scenario does something to the world.

    held_at.py SETTINGS HOLDS

A file POINT in HOLDS names a study, or none. The first case (of that study) that comes to the point
takes the file away, leaves ``POINT.held`` in its place, and waits until that is gone. After a
restart nothing is held.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dbos import DBOS

import clic_edge.assembly
import clic_edge.results.seg
import clic_edge.results.sr  # noqa: F401 - as above
from clic_edge import telemetry
from clic_edge.app import Appliance, serve
from clic_edge.inference.onnx import OnnxRuntime
from clic_edge.ledger.deliveries import DeliveryStore
from clic_edge.ledger.predictions import PredictionStore
from clic_edge.pacs.dimse import DimseDestination
from clic_edge.pipeline.worker import durably
from clic_edge.results import dcmqi

if TYPE_CHECKING:
    from collections.abc import Callable

    from clic_edge.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Holds:
    """Where cases are held, and who knows of which study a case is."""

    folder: Path
    ledger: Ledger

    def hold(self, point: str) -> None:
        """Wait here, if this point is asked for by the study of this thread's case."""
        asked, held = self.folder / point, self.folder / f"{point}.held"
        case_id = (DBOS.workflow_id or "").rpartition("-")[0]
        try:
            study_id = asked.read_text()
            if study_id and study_id != self.ledger.cases.case(case_id).study_id:
                return
            asked.rename(held)
        except FileNotFoundError:
            return
        while held.exists():
            time.sleep(0.02)

    def step(self, name: str, stage: Callable[[], str]) -> str:
        """Run a stage durably, once nothing holds it."""
        self.hold(name)
        return durably(name, stage)


def before(holds: Holds, owner: type, method: str, point: str, *, call: int = 1) -> None:
    """Hold before the `call`-th call of a method, counted for each attempt."""
    original, calls = getattr(owner, method), dict[str | None, int]()

    def watched(*arguments: object, **named: object) -> object:
        calls[DBOS.workflow_id] = calls.get(DBOS.workflow_id, 0) + 1
        if calls[DBOS.workflow_id] == call:
            holds.hold(point)
        return original(*arguments, **named)

    setattr(owner, method, watched)


def main() -> None:
    """Work until killed; MEMORY_FOLDER stands for the machine's folder in memory."""
    dcmqi.MEMORY = Path(os.environ.get("MEMORY_FOLDER", dcmqi.MEMORY))
    settings, folder = map(Path, sys.argv[1:])
    appliance = Appliance.open(settings)
    holds = Holds(folder=folder, ledger=appliance.ledger)
    before(holds, OnnxRuntime, "predict", "de-identified")
    before(holds, PredictionStore, "log", "predicted")
    before(holds, DeliveryStore, "record", "written")
    before(holds, DimseDestination, "_store", "half sent", call=2)
    before(holds, DeliveryStore, "receive", "sent")
    before(holds, DeliveryStore, "receive", "confirming", call=2)
    telemetry.configure_logging("debug")
    serve(appliance, threading.Event(), holds.step)


main()
