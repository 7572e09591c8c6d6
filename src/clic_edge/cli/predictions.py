"""`clic-edge predictions`: the prediction log as table, CSV or Parquet; no identity in any."""

from __future__ import annotations

import csv
import re
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.cli.console import moment, stamp, table
from clic_edge.cli.context import ledger_of
from clic_edge.domain.cells import plain_cell
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.ledger.predictions import PredictionRow

COLUMNS = (
    "prediction_id",
    "case_id",
    "subject_id",
    "series_uid",
    "model_id",
    "model_version",
    "model_digest",
    "device",
)
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
Cell = str | float | None


class Format(StrEnum):
    """How the log is written."""

    TABLE = "table"
    CSV = "csv"
    PARQUET = "parquet"


def predictions(
    context: typer.Context,
    *,
    since: Annotated[
        str, typer.Option(help="A day (2026-11-01) or how long ago (12h, 7d, 4w).")
    ] = "7d",
    form: Annotated[Format, typer.Option("--format", help="Parquet needs --out.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option(help="File to write; else the terminal.")] = None,
) -> None:
    """Print every prediction since a day, with its features, one row for each.

    Example: `clic-edge predictions --since 7d --format csv --out week.csv`
    """
    rows = ledger_of(context).predictions.rows(since_moment(since))
    if form is Format.TABLE:
        _show(rows)
    elif form is Format.CSV:
        _write_csv(rows, out)
    elif out is None:
        raise ConfigError("needs-out", "Parquet is not for terminals; name a file with --out.")
    else:
        _write_parquet(rows, out)


def since_moment(text: str) -> datetime:
    """Return what `--since` means. Raises ConfigError ``bad-since``."""
    ago = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise ConfigError(
            "bad-since", f"--since {text} is no day; write 2026-11-01, or 12h, 7d, 4w ago."
        ) from error


def _show(rows: tuple[PredictionRow, ...]) -> None:
    table(
        f"predictions: {len(rows)}",
        ("made", "case", "subject", "model", "device", "volumes"),
        (
            (
                moment(row.created_at),
                row.case_id[:8],
                row.subject_id,
                f"{row.model_id} {row.model_version}",
                row.device,
                ", ".join(
                    f"{feature.name.split('.')[1]} {feature.number:.0f} mm³"
                    for feature in row.features
                    if feature.name.endswith(".volume_mm3") and feature.number is not None
                ),
            )
            for row in rows
        ),
    )


def _wide(rows: Iterable[PredictionRow]) -> list[dict[str, Cell]]:
    """Return one flat row for each prediction; features that it lacks are None."""
    flat = [
        {
            "created_at": stamp(row.created_at),
            **{name: getattr(row, name) for name in COLUMNS},
            **{
                feature.name: feature.text if feature.number is None else feature.number
                for feature in row.features
            },
        }
        for row in rows
    ]
    names = sorted({name for row in flat for name in row if "." in name})
    order = ("created_at", *COLUMNS, *names)
    return [{name: row.get(name) for name in order} for row in flat]


def _write_csv(rows: tuple[PredictionRow, ...], out: Path | None) -> None:
    wide = _wide(rows)
    names = list(wide[0]) if wide else ["created_at", *COLUMNS]
    with out.open("w", newline="") if out else nullcontext(sys.stdout) as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows({name: plain_cell(it) for name, it in row.items()} for row in wide)


def _write_parquet(rows: tuple[PredictionRow, ...], out: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 - slow to load, and needed here only
    from pyarrow import parquet  # noqa: PLC0415 - as above

    parquet.write_table(pa.Table.from_pylist(_wide(rows)), out)
