"""Commands for the site: prove the configuration, run the worker, make the key."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from clic_edge import telemetry
from clic_edge.app import serve as run_worker
from clic_edge.cli.console import table
from clic_edge.cli.context import appliance_of, context_of
from clic_edge.cli.web import certificate_of
from clic_edge.errors import ClicEdgeError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.app import Appliance

Finding = tuple[str, ClicEdgeError | None]
"""What was looked at, and what is wrong with it."""


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


def check(
    context: typer.Context,
    offline: Annotated[
        bool, typer.Option("--offline", help="Look at files only; ask no server.")
    ] = False,
) -> None:
    """Prove the configuration: settings, pipelines, key, models; then Orthanc and each PACS.

    Example: `clic-edge -c configs/clic-edge.toml check --offline`
    """
    appliance = appliance_of(context)
    path = context_of(context).settings_path
    findings: list[Finding] = [("settings and pipelines", None)]
    findings += list(_files(appliance))
    if not offline:
        findings += list(_servers(appliance))
    rows = [(name, *_verdict(error)) for name, error in findings]
    table(f"{path}", ("what", "", "why"), rows)
    errors = [error for _, error in findings if error]
    if errors:
        worst = max(errors, key=lambda error: (isinstance(error, ConfigError), error.exit_code))
        raise typer.Exit(worst.exit_code)


def _verdict(error: ClicEdgeError | None) -> tuple[Text, str]:
    if error is None:
        return Text("ok", style="green"), ""
    return Text("no", style="bold red"), error.sentence


def _files(appliance: Appliance) -> Iterator[Finding]:
    from clic_edge.assembly import make_ready  # noqa: PLC0415 - loads what a worker needs
    from clic_edge.deid.keys import load_key  # noqa: PLC0415 - as above
    from clic_edge.notify.post import channels_of  # noqa: PLC0415 - as above
    from clic_edge.pacs.commitment import Reports  # noqa: PLC0415 - as above

    settings = appliance.settings
    yield "de-identification key", _error_of(lambda: load_key(settings.appliance.deid_key))
    yield "notices", _error_of(lambda: channels_of(settings))
    yield "TLS of the pages", _error_of(lambda: certificate_of(appliance))
    for pipeline in appliance.pipelines:
        name = f"pipeline {pipeline.name}"
        yield name, _error_of(lambda of=pipeline: make_ready(settings, of, Reports()).runtime())


def _servers(appliance: Appliance) -> Iterator[Finding]:
    from clic_edge.transports import probe_destination  # noqa: PLC0415 - loads what a worker needs

    yield (
        f"Orthanc at {appliance.settings.orthanc.url}",
        _error_of(lambda: appliance.archive().changes(0)),
    )
    for name, destination in appliance.settings.destinations.items():
        yield f"destination {name}", _error_of(lambda to=destination: probe_destination(to))


def _error_of(attempt: object) -> ClicEdgeError | None:
    try:
        attempt()  # type: ignore[operator]  # a callable; its result does not matter
    except ClicEdgeError as error:
        return error
    return None
