"""`clic-edge assessments`: what readers said of results, as table or CSV; no identity in either."""

from __future__ import annotations

import csv
import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.cli.console import moment, stamp, table
from clic_edge.cli.context import ledger_of
from clic_edge.cli.predictions import since_moment
from clic_edge.domain.cells import plain_cell

if TYPE_CHECKING:
    from clic_edge.domain.assessment import Assessment

ASSESSMENT_COLUMNS = (
    "at",
    "case_id",
    "prediction_id",
    "finding",
    "verdict",
    "reason",
    "reader",
    "source",
    "dice",
    "volume_mm3",
)


class AssessmentFormat(StrEnum):
    """How the assessments are written."""

    TABLE = "table"
    CSV = "csv"


def assessments(
    context: typer.Context,
    *,
    since: Annotated[
        str, typer.Option(help="A day (2026-11-01) or how long ago (12h, 7d, 4w).")
    ] = "7d",
    form: Annotated[
        AssessmentFormat, typer.Option("--format", help="CSV joins to `predictions` by its id.")
    ] = AssessmentFormat.TABLE,
    out: Annotated[Path | None, typer.Option(help="File to write; else the terminal.")] = None,
) -> None:
    """Print what readers said of results since a day: who (by stand-in), of what, and why.

    Example: `clic-edge assessments --since 4w --format csv --out month.csv`
    """
    given = ledger_of(context).assessments.since(since_moment(since))
    if form is AssessmentFormat.TABLE:
        _show(given)
    else:
        _write(given, out)


def _show(given: tuple[Assessment, ...]) -> None:
    table(
        f"assessments: {len(given)}",
        ("at", "case", "finding", "verdict", "reason", "reader", "by", "dice"),
        (
            (
                moment(one.at),
                one.case_id[:8],
                one.finding,
                one.verdict,
                one.reason or "",
                one.reader[:12],
                one.source,
                "" if one.dice is None else f"{one.dice:.3f}",
            )
            for one in given
        ),
    )


def _write(given: tuple[Assessment, ...], out: Path | None) -> None:
    with out.open("w", newline="") if out else nullcontext(sys.stdout) as stream:
        writer = csv.writer(stream)
        writer.writerow(ASSESSMENT_COLUMNS)
        for one in given:
            rest = [getattr(one, name) for name in ASSESSMENT_COLUMNS[1:]]
            writer.writerow([stamp(one.at), *map(plain_cell, rest)])
