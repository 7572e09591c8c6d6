"""`clic-edge serve`: the worker."""

from __future__ import annotations

import signal
import threading

import typer

from clic_edge import telemetry
from clic_edge.app import serve as run_worker
from clic_edge.cli.context import appliance_of, context_of


def serve(context: typer.Context) -> None:
    """Run the worker until it is told to stop (SIGTERM or Ctrl-C).

    It takes cases from the queue, finds studies that no event told of, and retries what waits.
    """
    options = context_of(context)
    appliance = appliance_of(context)
    telemetry.configure_logging("debug" if options.debug else "info")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run_worker(appliance, stop)
    telemetry.worker_stopped()
