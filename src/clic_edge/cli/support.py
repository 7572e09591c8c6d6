"""`clic-edge support-bundle`: the appliance without patients, staff and secrets, for who helps."""

from __future__ import annotations

import os
import secrets
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.app import Appliance
from clic_edge.cli.console import note, stdout, table, whole
from clic_edge.cli.context import DEFAULT_SETTINGS, context_of
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic import BaseModel

    from clic_edge.pacs.rest import Rest
    from clic_edge.support.bundle import Sources
    from clic_edge.support.machine import Checked


def support_bundle(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option(help="ZIP file to write; it must not be there yet.")],
    case: Annotated[
        list[str] | None,
        typer.Option(help="A case to be told with its images' geometry; may be repeated."),
    ] = None,
    logs: Annotated[
        Path | None,
        typer.Option(help="Folder of log files, where the journal has none.", exists=True),
    ] = None,
) -> None:
    """Write what helps to find a fault, without patients, staff and secrets.

    Settings, versions, health, database, cases, events and metrics; README.txt in it says more.
    Look into it before you send it.

    Example: `clic-edge support-bundle --out support.zip --case 3f2a…`
    """
    from clic_edge.support.bundle import make_bundle  # noqa: PLC0415 - for a fast --help

    try:
        appliance: Appliance | None = Appliance.open(context_of(context).settings_path)
        broken = ""
    except ConfigError as problem:
        appliance, broken = None, problem.code
        note(f"The settings can't be read ({problem.code}); the bundle has what there is without.")
    sources = sources_of(appliance, broken=broken, log_lines=_lines(logs))
    bundle = make_bundle(sources, case_ids=tuple(case or ()), key=secrets.token_bytes(32))
    _write(out, bundle.content)
    stdout.print(f"{out}: {len(bundle.content):,} bytes")
    if bundle.cases:
        table("cases, for you alone", (whole("in the bundle"), whole("case")), bundle.cases)


def _lines(folder: Path | None) -> Callable[[], Iterable[str]]:
    from clic_edge.support.log_lines import in_folder, journal  # noqa: PLC0415 - as above

    return partial(in_folder, folder) if folder else journal


def sources_of(
    appliance: Appliance | None,
    *,
    broken: str = "",
    log_lines: Callable[[], Iterable[str]] | None = None,
) -> Sources:
    """Return where the bundle of an appliance comes from; without one, of its machine alone."""
    from clic_edge.ledger.inside import inside  # noqa: PLC0415 - as above
    from clic_edge.pacs.technical import archive_versions, technical  # noqa: PLC0415 - as above
    from clic_edge.support.bundle import Sources  # noqa: PLC0415 - as above
    from clic_edge.support.log_lines import journal  # noqa: PLC0415 - as above

    lines = log_lines or journal
    if appliance is None:
        state = DEFAULT_SETTINGS.parent
        return Sources(configuration=(), broken=broken, state=state, log_lines=lines)
    settings, rest = appliance.settings, appliance.rest()
    models = {name for one in appliance.pipelines for name in (one.model, *one.challengers)}
    names = {one.name for one in appliance.pipelines} | {*settings.destinations} | models
    return Sources(
        configuration=tuple(_configuration(appliance)),
        ledger=appliance.ledger,
        database=partial(inside, appliance.engine),
        state=settings.appliance.state_dir,
        ports=_ports(appliance),
        probes=tuple(_probes(appliance, rest)),
        check=partial(_checked, appliance),
        orthanc=partial(archive_versions, rest),
        metrics=partial(_metrics, appliance),
        look=partial(technical, rest),
        log_lines=lines,
        names=frozenset(names),
    )


def _configuration(appliance: Appliance) -> Iterator[tuple[str, BaseModel]]:
    from clic_edge.config import destination_profile  # noqa: PLC0415 - as above

    yield "settings", appliance.settings
    for one in appliance.pipelines:
        yield f"pipeline {one.name}", one
    for name in sorted(appliance.settings.destinations):
        yield f"profile of {name}", destination_profile(appliance.settings, name)


def _ports(appliance: Appliance) -> tuple[tuple[str, int], ...]:
    settings = appliance.settings
    metrics = settings.worker.metrics_port
    return (("web", settings.web.port), *([("metrics", metrics)] if metrics else []))


def _probes(appliance: Appliance, rest: Rest) -> Iterator[tuple[str, Callable[[], object]]]:
    from clic_edge.pacs.technical import archive_versions  # noqa: PLC0415 - as above
    from clic_edge.transports import probe_destination  # noqa: PLC0415 - as above

    yield "archive", partial(archive_versions, rest)
    for name, one in sorted(appliance.settings.destinations.items()):
        yield name, partial(probe_destination, one)


def _checked(appliance: Appliance) -> Iterator[Checked]:
    """Yield what `check` finds, without the sentences of errors: these may name who signs."""
    from clic_edge.cli.check import findings_of  # noqa: PLC0415 - as above
    from clic_edge.support.machine import Checked  # noqa: PLC0415 - as above

    for one in findings_of(appliance, models=False):
        seen = "" if one.code else one.seen
        yield Checked(what=one.what, verdict=one.verdict, code=one.code, seen=seen)


def _metrics(appliance: Appliance) -> bytes:
    from clic_edge.pacs.rest import HttpRest, OrthancPeer  # noqa: PLC0415 - as above

    port = appliance.settings.worker.metrics_port
    if not port:
        return b""
    return HttpRest(OrthancPeer(url=f"http://127.0.0.1:{port}")).get("/metrics") or b""


def _write(path: Path, content: bytes) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except FileExistsError as error:
        raise ConfigError("bundle-there", f"{path} is there already; name a new file.") from error
    except OSError as error:
        raise ConfigError(
            "out-unwritable", f"{path} cannot be written: {error.strerror}."
        ) from error
