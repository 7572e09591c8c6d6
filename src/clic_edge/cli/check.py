"""`clic-edge check`: is the site ready? One line each: what, seen, verdict, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from clic_edge.cli.console import table
from clic_edge.cli.context import appliance_of, context_of
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.app import Appliance
    from clic_edge.readiness.finding import Finding

_STYLES = {"ok": "green", "look": "yellow", "no": "bold red"}


def check(
    context: typer.Context,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Look at files and machine only; ask no server.")
    ] = False,
    line: Annotated[
        bool,
        typer.Option("--line", help="Also send one phantom from C-STORE to a delivered object."),
    ] = False,
) -> None:
    """Prove the site before it goes live: files and machine, then Orthanc, ledger and each PACS.

    One line each: what, seen, verdict, what to do. `look` may go live, and somebody should know;
    `no` may not. With --line a phantom goes through the whole line, as one of constancy does: no
    PACS gets it, and nothing of it stays. The services must be running for that.

    Example: `clic-edge check --line`
    """
    appliance = appliance_of(context)
    findings = list(findings_of(appliance, offline=offline, line=line))
    table(
        f"{context_of(context).settings_path}",
        ("what", "seen", "", "what to do"),
        [(one.what, one.seen, _verdict(one), one.to_do) for one in findings],
    )
    codes = {one.exit_code for one in findings}
    if worst := max(codes, key=lambda code: (code == ConfigError.exit_code, code)):
        raise typer.Exit(worst)


def findings_of(
    appliance: Appliance, *, offline: bool = False, line: bool = False, models: bool = True
) -> Iterator[Finding]:
    """Yield what is to be said of a site; what others may keep waiting comes last."""
    from clic_edge.readiness.files import files  # noqa: PLC0415 - loads what a worker needs
    from clic_edge.readiness.line import whole_line  # noqa: PLC0415 - as above
    from clic_edge.readiness.machine import machine  # noqa: PLC0415 - as above
    from clic_edge.readiness.servers import servers  # noqa: PLC0415 - as above
    from clic_edge.readiness.settings import together  # noqa: PLC0415 - as above

    yield from files(appliance, models=models)
    yield from together(appliance)
    yield from machine(appliance.settings)
    if not offline:
        yield from servers(appliance)
    if line:
        yield whole_line(appliance)


def _verdict(finding: Finding) -> Text:
    return Text(finding.verdict, style=_STYLES[finding.verdict])
