"""`clic-edge cases`: what became of each study."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from clic_edge.cli.console import moment, state, stdout, table, whole
from clic_edge.cli.context import ledger_of
from clic_edge.domain.case import CaseState

if TYPE_CHECKING:
    from clic_edge.domain.case import Case

app = typer.Typer(help="Cases: one study on one pipeline.", no_args_is_help=True)


@app.command("list")
def list_cases(
    context: typer.Context,
    states: Annotated[
        list[CaseState] | None, typer.Option("--state", help="Only these states; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest.")] = 50,
) -> None:
    """List cases, newest last, and why they wait or were refused or quarantined.

    Example: `clic-edge cases list --state waiting --state quarantined`
    """
    found = ledger_of(context).cases.all(states or (), limit)
    table(
        f"cases: {len(found)}",
        (whole("case"), "pipeline", "state", "received"),
        (
            (case.case_id, case.pipeline, state(case.state), moment(case.received_at))
            for case in found
        ),
    )
    if any(case.reason for case in found):
        table(
            "why",
            ("case", "reason", "attempt", "next attempt"),
            (
                (case.case_id[:8], case.reason, str(case.attempt), moment(case.next_attempt_at))
                for case in found
                if case.reason
            ),
        )


@app.command()
def show(
    context: typer.Context,
    case_id: Annotated[str, typer.Argument(help="As `cases list` prints it.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show one case: its stages, result objects, receipts and history."""
    ledger = ledger_of(context)
    case = ledger.cases.case(case_id)
    stages, audit = _in_order(ledger.records.stages(case_id)), ledger.records.audit(case_id)
    results, receipts = ledger.deliveries.results(case_id), ledger.deliveries.receipts(case_id)
    if as_json:
        whole: dict[str, object] = {"case": asdict(case), "stages": dict(stages)}
        whole |= {"results": [asdict(row) for row in results]}
        whole |= {"receipts": [asdict(row) for row in receipts]}
        whole |= {"audit": [asdict(row) for row in audit]}
        stdout.print_json(json.dumps(whole, default=str))
        return
    table("case", ("", ""), _facts(case))
    table("stages", ("stage", "seconds"), ((name, f"{value:.3f}") for name, value in stages))
    table(
        "results",
        ("kind", "SOP Instance UID", "destination", "answer"),
        (
            (result.kind, result.sop_instance_uid, destination, answer)
            for result in results
            for destination, answer in [
                (receipt.destination, receipt.status)
                for receipt in receipts
                if receipt.sop_instance_uid == result.sop_instance_uid
            ]
            or [("", "not sent yet")]
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
    case = ledger_of(context).cases.retry(case_id)
    stdout.print(f"{case.case_id} is queued as attempt {case.attempt}")


def _in_order(stages: tuple[tuple[str, float], ...]) -> list[tuple[str, float]]:
    """Return the stages as a case goes through them."""
    from clic_edge.pipeline.process import STAGES  # noqa: PLC0415 - for a fast --help

    seconds = dict(stages)
    return [(one.__name__, seconds[one.__name__]) for one in STAGES if one.__name__ in seconds]


def _facts(case: Case) -> list[tuple[str, str]]:
    """Return what is known of a case, for people."""
    facts = []
    for key, value in asdict(case).items():
        if isinstance(value, datetime):
            facts.append((key, moment(value)))
        elif isinstance(value, tuple):
            facts.append((key, "\n".join(value)))
        else:
            facts.append((key, "" if value is None else str(value)))
    return facts
