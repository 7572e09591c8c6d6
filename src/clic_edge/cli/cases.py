"""`clic-edge cases`: what became of each study."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from clic_edge.cli.console import moment, state, stdout, table
from clic_edge.cli.context import appliance_of
from clic_edge.domain.case import CaseState

app = typer.Typer(help="Cases: one study on one pipeline.", no_args_is_help=True)


@app.command("list")
def list_cases(
    context: typer.Context,
    states: Annotated[
        list[CaseState] | None, typer.Option("--state", help="Only these states; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.")] = 50,
) -> None:
    """List cases, newest last.

    Example: `clic-edge cases list --state waiting --state quarantined`
    """
    found = appliance_of(context).ledger.cases.all(states or (), limit)
    table(
        f"{len(found)} cases",
        ("case", "pipeline", "state", "attempt", "received", "next attempt", "reason"),
        (
            (
                case.case_id,
                case.pipeline,
                state(case.state),
                str(case.attempt),
                moment(case.received_at),
                moment(case.next_attempt_at),
                case.reason,
            )
            for case in found
        ),
    )


@app.command()
def show(
    context: typer.Context,
    case_id: Annotated[str, typer.Argument(help="As `cases list` prints it.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show one case: its stages, result objects, receipts and history."""
    ledger = appliance_of(context).ledger
    case = ledger.cases.case(case_id)
    stages, audit = ledger.records.stages(case_id), ledger.records.audit(case_id)
    results, receipts = ledger.deliveries.results(case_id), ledger.deliveries.receipts(case_id)
    if as_json:
        whole: dict[str, object] = {"case": asdict(case), "stages": dict(stages)}
        whole |= {"results": [asdict(row) for row in results]}
        whole |= {"receipts": [asdict(row) for row in receipts]}
        whole |= {"audit": [asdict(row) for row in audit]}
        stdout.print_json(json.dumps(whole, default=str))
        return
    table("case", ("", ""), ((key, str(value)) for key, value in asdict(case).items()))
    table("stages", ("stage", "seconds"), ((name, f"{value:.3f}") for name, value in stages))
    table(
        "results",
        ("kind", "SOP Instance UID", "destination", "answer"),
        (
            (result.kind, result.sop_instance_uid, receipt.destination, receipt.status)
            for result in results
            for receipt in receipts
            if receipt.sop_instance_uid == result.sop_instance_uid
        ),
    )
    table(
        "history",
        ("at", "what", "why"),
        ((moment(event.at), event.action, event.detail) for event in audit),
    )


@app.command()
def retry(
    context: typer.Context,
    case_id: Annotated[str, typer.Argument(help="As `cases list` prints it.")],
) -> None:
    """Run a waiting, refused or quarantined case again now; the worker takes it up."""
    case = appliance_of(context).ledger.cases.retry(case_id)
    stdout.print(f"{case.case_id} is queued as attempt {case.attempt}")
