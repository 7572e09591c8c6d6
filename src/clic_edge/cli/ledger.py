"""`clic-edge ledger`: back it up while it runs, restore it, prune it by policy."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clic_edge.cli.backup import told_when_it_fails
from clic_edge.cli.console import note, stdout
from clic_edge.cli.context import appliance_of, opened
from clic_edge.cli.ledger_export import write_csv, write_parquet
from clic_edge.cli.predictions import since_moment
from clic_edge.config.toml import nearest
from clic_edge.errors import ConfigError
from clic_edge.ledger.backup import back_up, restore
from clic_edge.ledger.export import TABLES
from clic_edge.pipeline.retention import retention_of

app = typer.Typer(help="The ledger's database: backup, restore, pruning.", no_args_is_help=True)


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File to write; its digest goes to FILE.sha256.")],
) -> None:
    """Back up cases, predictions, audit and queue as of one moment, while the services run.

    The copy is read back before it takes its name. PostgreSQL needs `pg_dump` on this machine.

    Example: `clic-edge ledger backup /backup/clic-edge-2026-11-21.backup`
    """
    appliance = opened(context)
    with told_when_it_fails(appliance):
        done = back_up(appliance.engine, file)
    held = "" if done.cases is None else f", {done.cases} cases"
    stdout.print(f"{done.path}: {done.size:,} bytes{held}, SHA-256 {done.digest}", soft_wrap=True)


@app.command("restore")
def restore_ledger(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A backup, with its digest beside it.")],
) -> None:
    """Make the ledger of a backup, where none is; then start the services.

    Cases that were under way go on. What came since the backup is found in Orthanc's change log,
    and what was delivered since is the same objects again.

    Example: `clic-edge ledger restore /backup/clic-edge-2026-11-21.backup`
    """
    digest = restore(appliance_of(context).engine, file)
    stdout.print(f"The ledger is restored from {file}, SHA-256 {digest}.", soft_wrap=True)


class TableFormat(StrEnum):
    """How tables are written."""

    PARQUET = "parquet"
    CSV = "csv"


@app.command()
def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Gets one file for each table; made if need be.")],
    *,
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", help=f"Only this one of {', '.join(TABLES)}; may be repeated."),
    ] = None,
    form: Annotated[TableFormat, typer.Option("--format", help="Of the files.")] = (
        TableFormat.PARQUET
    ),
    since: Annotated[
        str, typer.Option(help="A day (2026-11-01) or how long ago (12h, 7d, 4w).")
    ] = "5000w",
) -> None:
    """Write the ledger's tables for other programs; predictions with a column for each feature.

    No identity is in them, nor an archive's handle: cases, predictions and subjects go by
    stand-ins. The audit trail names the staff who acted.

    Example: `clic-edge ledger export tables --table predictions --since 4w`
    """
    appliance = opened(context)
    if unknown := set(tables or ()) - set(TABLES):
        advice = nearest(unknown.pop(), TABLES)
        raise ConfigError("no-such-table", f"That is no table; {advice}.")
    begin, store = since_moment(since), appliance.ledger.export
    folder.mkdir(parents=True, exist_ok=True)
    write = write_csv if form is TableFormat.CSV else write_parquet
    for name in tables or TABLES:
        path = folder / f"{name}.{form}"
        count = write(path, store.columns(name), store.rows(name, begin))
        note(f"{path}: {count} rows")


@app.command()
def prune(
    context: typer.Context,
    *,
    dry: Annotated[bool, typer.Option("--dry", help="Say what would go; delete nothing.")] = False,
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Give the room back to the disk; writers wait.")
    ] = False,
) -> None:
    """Delete what `[retention]` lets go, as the worker does each night. Rollups by day stay.

    Example: `clic-edge ledger prune --dry`
    """
    appliance = opened(context)
    store = appliance.ledger.pruning
    pruned = store.prune(retention_of(appliance.settings), now=datetime.now(UTC), dry=dry)
    stdout.print(f"{'Would go' if dry else 'Gone'}: {pruned}.", soft_wrap=True)
    if shrink and not dry:
        store.shrink()
        note("The room is given back.")
