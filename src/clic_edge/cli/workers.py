"""`clic-edge workers`: which workers share the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from clic_edge.board.workers import workers as rows_of
from clic_edge.cli.console import moment, stdout, table
from clic_edge.cli.context import ledger_of


def workers(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the workers of the last day: host, version, last beat and cases in hand.

    One that is silent was killed, or its host is away; the others take its cases over.
    """
    rows = rows_of(ledger_of(context), datetime.now(UTC))
    if as_json:
        stdout.print_json(json.dumps([asdict(row) for row in rows], default=str))
        return
    table(
        f"workers: {len(rows)}",
        ("worker", "host", "", "version", "since", "last beat", "cases"),
        (
            (
                *(row.name, row.host, str(row.presence), f"{row.version}, line {row.line}"),
                *(moment(row.since), moment(row.beat_at), f"{row.running} of {row.slots}"),
            )
            for row in rows
        ),
    )
