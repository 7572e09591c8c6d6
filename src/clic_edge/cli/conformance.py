"""`clic-edge conformance`: the DICOM conformance statement of this site."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge import __version__
from clic_edge.cli.console import note
from clic_edge.cli.context import appliance_of
from clic_edge.errors import ConfigError, Transient

if TYPE_CHECKING:
    from clic_edge.app import Appliance
    from clic_edge.pacs.acceptor import Acceptor

_FORMS = (".html", ".json", ".pdf")


def conformance(
    context: typer.Context,
    *,
    out: Annotated[
        Path, typer.Option(help="File to write: its name ends in .html, .pdf (PDF/A) or .json.")
    ],
    offline: Annotated[
        bool, typer.Option("--offline", help="Don't ask the archive what it accepts.")
    ] = False,
) -> None:
    """Write the DICOM conformance statement (PS3.2) of this site, as it is configured now.

    Example: `clic-edge conformance --out conformance.pdf`
    """
    from clic_edge.conformance.facts import facts  # noqa: PLC0415 - for a fast --help
    from clic_edge.conformance.statement import statement  # noqa: PLC0415 - as above
    from clic_edge.reporting.page import page  # noqa: PLC0415 - as above
    from clic_edge.reporting.pdf import pdf  # noqa: PLC0415 - as above

    if out.suffix not in _FORMS:
        raise ConfigError("wrong-form", f"{out}: the name should end in {', '.join(_FORMS)}.")
    appliance = appliance_of(context)
    told = facts(
        appliance.settings,
        appliance.pipelines,
        version=__version__,
        acceptor=None if offline else _acceptor(appliance),
    )
    now = datetime.now(UTC)
    document = statement(told, day=f"{now:%Y-%m-%d}")
    values = json.dumps(asdict(told), indent=1)
    match out.suffix:
        case ".json":
            out.write_text(values + "\n", encoding="utf-8")
        case ".html":
            out.write_text(page(document), encoding="utf-8")
        case _:
            out.write_bytes(pdf(document, attached=values, name="conformance.json", at=now))
    note(f"{out} is written.")


def _acceptor(appliance: Appliance) -> Acceptor | None:
    try:
        return appliance.acceptor()
    except Transient as hindrance:
        note(f"{hindrance.sentence} What it accepts is left out.")
        return None
