"""`clic-edge demo`: the whole product on one machine, in two minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    study: Annotated[
        Path | None, typer.Option(help="Folder with a study of your own; else one is made.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the report and pictures go.")] = Path(
        "build/demo"
    ),
    stay: Annotated[
        bool, typer.Option("--stay", help="Keep all running until Ctrl-C, and serve the pages.")
    ] = False,
) -> None:
    """Start a hospital PACS and the appliance, send a study, and show what comes back.

    Needs Orthanc with its Python and DICOMweb plugins on this machine; leaves nothing running.

    Example: `clic-edge demo --stay`
    """
    from clic_edge.demo.show import run_demo  # noqa: PLC0415 - slow to load

    run_demo(study, out, stay=stay)
