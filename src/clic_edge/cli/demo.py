"""`clic-edge demo`: the whole product on one machine, in two minutes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    study: Annotated[
        Path | None, typer.Option(help="Folder with a study of your own; else one is made.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Where the report and pictures go.")] = Path(
        "build/demo"
    ),
    drift: Annotated[
        bool,
        typer.Option("--drift", help="Replay half a year in place of sending a study."),
    ] = False,
    stay: Annotated[
        bool | None,
        typer.Option(
            "--stay/--no-stay",
            help="Keep all running until Ctrl-C; by default where a person is at the terminal.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start a hospital PACS and the appliance, send a study, and show what comes back.

    With `--drift`, half a year of studies is replayed, in which a scanner gets new software that
    it does not tell of, and the monitor's alarms are shown.

    Needs Orthanc with its Python and DICOMweb plugins on this machine; leaves nothing running.

    Example: `clic-edge demo --stay`
    """
    from clic_edge.demo.half_year import run_half_year  # noqa: PLC0415 - slow to load
    from clic_edge.demo.show import run_demo  # noqa: PLC0415 - as above

    stays = sys.stdin.isatty() if stay is None else stay
    if drift:
        run_half_year(out, stay=stays)
    else:
        run_demo(study, out, stay=stays)
