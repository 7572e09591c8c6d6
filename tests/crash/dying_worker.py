"""A worker that is killed at each point asked for, once, and started again each time.

    dying_worker.py SETTINGS POINTS SCARS

POINTS is a JSON file: the point for each case. In the folder SCARS a file remembers each death.
Each life is a process of its own, forked from one that has imported everything.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dbos import DBOS

import clic_edge.accounting.night
import clic_edge.assembly
import clic_edge.constancy.night
import clic_edge.inference.onnx
import clic_edge.metrics
import clic_edge.notify.post
import clic_edge.reporting.monthly
import clic_edge.results.seg
import clic_edge.results.sr  # noqa: F401 - for every life, once
from clic_edge.app import Appliance, serve
from clic_edge.ledger.deliveries import DeliveryStore
from clic_edge.ledger.predictions import PredictionStore
from clic_edge.pacs.dimse import DimseDestination
from clic_edge.pacs.orthanc import OrthancArchive
from clic_edge.pacs.rest import HttpRest
from clic_edge.pipeline.worker import durably

if TYPE_CHECKING:
    from collections.abc import Callable


class Fate:
    """Which case dies where."""

    def __init__(self, points: dict[str, str], scars: Path) -> None:
        self._points = points
        self._scars = scars
        self._one_at_a_time = threading.Lock()

    def is_pending(self) -> bool:
        """Whether a death is still to come."""
        return any(not (self._scars / case_id).exists() for case_id in self._points)

    def strike(self, point: str) -> None:
        """Kill this process if the case in this thread is to die here, and has not."""
        case_id = (DBOS.workflow_id or "").rpartition("-")[0]
        scar = self._scars / case_id
        if self._points.get(case_id) == point and not scar.exists():
            with self._one_at_a_time:  # a death in another thread would leave half a scar
                scar.write_text(point)
                os.kill(os.getpid(), signal.SIGKILL)

    def step(self, name: str, stage: Callable[[], str]) -> str:
        """Run a stage durably, unless it is the end."""

        def struck() -> str:
            self.strike(f"{name}: not begun")
            state = stage()
            self.strike(f"{name}: done")
            return state

        state = durably(name, struck)
        self.strike(f"{name}: remembered")
        return state

    def before(self, owner: type, method: str, point: str, *, call: int = 1) -> None:
        """Strike before the `call`-th call of a method, counted from 1 in each life and case."""
        original, calls = getattr(owner, method), dict[str | None, int]()

        def watched(*arguments: object, **named: object) -> object:
            calls[DBOS.workflow_id] = calls.get(DBOS.workflow_id, 0) + 1
            if calls[DBOS.workflow_id] == call:
                self.strike(point)
            return original(*arguments, **named)

        setattr(owner, method, watched)


def live(settings: Path, fate: Fate) -> None:
    """Run a worker until it is struck."""
    fate.before(PredictionStore, "log", "predict: not logged")
    fate.before(OrthancArchive, "keep", "write: not kept")
    fate.before(HttpRest, "post", "write: half kept", call=2)
    fate.before(DeliveryStore, "record", "write: not recorded")
    fate.before(DimseDestination, "_store", "deliver: half sent", call=2)
    fate.before(DeliveryStore, "receive", "deliver: not receipted")
    serve(Appliance.open(settings), threading.Event(), fate.step)


def main() -> None:
    """Live until every death has come."""
    settings, points, scars = map(Path, sys.argv[1:])
    fate = Fate(json.loads(points.read_text()), scars)
    while fate.is_pending():
        child = os.fork()
        if child == 0:
            live(settings, fate)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(f"a life ended with status {status}")


main()
