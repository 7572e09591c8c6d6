"""A worker that stops within its delivery, before it asks whether the case is still its own.

    boxed_worker.py SETTINGS FOLDER

While the file FOLDER/hold-NAME exists, the worker NAME waits there and says so by FOLDER/held-NAME.
Each thing that it sends is a line in FOLDER/sent-NAME.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.app import Appliance, serve
from clic_edge.pacs.dimse import DimseDestination
from clic_edge.pipeline.line import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.domain.case import Case
    from clic_edge.domain.result import Receipt, ResultObject

settings, folder = map(Path, sys.argv[1:])
appliance = Appliance.open(settings)
name = appliance.settings.appliance.name
asked, sent = Line.require_held, DimseDestination.deliver


def held(line: Line, case: Case) -> None:
    """Ask whether the case is still this worker's, once nothing holds it any more."""
    is_delivery = bool(line.ledger.deliveries.results(case.case_id))
    while is_delivery and (folder / f"hold-{name}").exists():
        (folder / f"held-{name}").touch()
        time.sleep(0.02)
    asked(line, case)


def counted(destination: DimseDestination, results: Sequence[ResultObject]) -> tuple[Receipt, ...]:
    """Send, and count what is sent."""
    with (folder / f"sent-{name}").open("a", encoding="ascii") as log:
        log.writelines(f"{one.sop_instance_uid}\n" for one in results)
    return sent(destination, results)


Line.require_held = held  # type: ignore[method-assign]
DimseDestination.deliver = counted  # type: ignore[method-assign]
telemetry.configure_logging("debug")
serve(appliance, threading.Event())
