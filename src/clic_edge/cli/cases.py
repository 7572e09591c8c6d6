"""`clic-edge cases`: what became of each study."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter

from clic_edge.cli.console import moment, state, stdout, table, whole
from clic_edge.cli.context import ledger_of
from clic_edge.domain.case import CaseState
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from clic_edge.domain.case import Case

app = typer.Typer(help="Cases: one study on one pipeline.", no_args_is_help=True)
_BY = typer.Option("--by", help="Your name, as it stands in the history.")
_WHY = typer.Option("--reason", help="Why, in a sentence.")


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
    table("case", ("", ""), [*_facts(case), *_what_to_do(case)])
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


@app.command("held")
def held_cases(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell why cases wait, were refused or are held, by reason, and what to do.

    What was refused more than thirty days ago is left out.
    """
    from clic_edge.board.attention import HeldGroup, attention  # noqa: PLC0415 - for a fast --help
    from clic_edge.pipeline.explaining import remedy  # noqa: PLC0415 - as above

    groups = attention(ledger_of(context), datetime.now(UTC), remedy=remedy)
    if as_json:
        stdout.print_json(TypeAdapter(tuple[HeldGroup, ...]).dump_json(groups).decode())
        return
    table(
        f"held: {sum(one.count for one in groups)}",
        ("state", whole("code"), "cases", "oldest", "for example", "what to do"),
        (
            (
                state(one.state),
                one.code,
                str(one.count),
                moment(one.oldest),
                one.cases[0].case_id if one.cases else "",
                one.remedy,
            )
            for one in groups
        ),
    )


@app.command()
def retry(
    context: typer.Context,
    case_id: Annotated[str, typer.Argument(help="As `cases list` prints it.")] = "",
    *,
    code: Annotated[
        str, typer.Option(help="All with this code, as `cases held` prints it, 500 at most.")
    ] = "",
    held: Annotated[
        CaseState, typer.Option("--state", help="Which of those with the code.")
    ] = CaseState.QUARANTINED,
    by: Annotated[str, _BY] = "",
    reason: Annotated[str, _WHY] = "",
) -> None:
    """Run waiting, refused or quarantined cases again now; the worker takes them up.

    One case by its id, or all of a kind, which needs a name and a reason.

    Example: `clic-edge cases retry --code network-failed --by "Ida" --reason "new driver"`
    """
    from clic_edge.board.attention import REMEMBERED  # noqa: PLC0415 - for a fast --help
    from clic_edge.pipeline import intervening  # noqa: PLC0415 - as above

    ledger = ledger_of(context)
    if bool(case_id) == bool(code):
        raise ConfigError("nothing-to-retry", "Name a case, or a kind of cases by --code.")
    if code:
        since = datetime.now(UTC) - REMEMBERED
        kind = intervening.HeldKind(state=held, code=code, refused_since=since)
        done = intervening.retry_all(ledger, kind, person=by, reason=reason)
        stdout.print(f"{done.begun} cases are queued{', and there are more' * done.more}")
        return
    if by or reason:
        case = intervening.retry(ledger, case_id, person=by, reason=reason)
    else:
        case = ledger.cases.retry(case_id)
    stdout.print(f"{case.case_id} is queued as attempt {case.attempt}")


@app.command()
def withdraw(
    context: typer.Context,
    case_id: Annotated[str, typer.Argument(help="As `cases list` prints it.")],
    *,
    by: Annotated[str, _BY],
    reason: Annotated[str, _WHY],
) -> None:
    """Take the results of a case back: the worker tells the destinations. It can't be undone."""
    from clic_edge.pipeline import intervening  # noqa: PLC0415 - for a fast --help

    intervening.withdraw(ledger_of(context), case_id, person=by, reason=reason)
    stdout.print(f"{case_id} is withdrawn")


@app.command("send-again")
def send_again(
    context: typer.Context,
    case_id: Annotated[str, typer.Argument(help="As `cases list` prints it.")],
    *,
    by: Annotated[str, _BY],
    reason: Annotated[str, _WHY],
) -> None:
    """Send the results of a delivered case anew, as they are, to each place that had them."""
    from clic_edge.pipeline import intervening  # noqa: PLC0415 - for a fast --help

    count = intervening.send_again(ledger_of(context), case_id, person=by, reason=reason)
    stdout.print(f"{count} objects of {case_id} are sent again by the worker")


def _in_order(stages: tuple[tuple[str, float], ...]) -> list[tuple[str, float]]:
    """Return the stages as a case goes through them."""
    from clic_edge.pipeline.process import STAGES  # noqa: PLC0415 - for a fast --help

    seconds = dict(stages)
    return [(one.__name__, seconds[one.__name__]) for one in STAGES if one.__name__ in seconds]


def _what_to_do(case: Case) -> list[tuple[str, str]]:
    from clic_edge.pipeline.explaining import remedy  # noqa: PLC0415 - for a fast --help

    return [("what to do", said)] if (said := remedy(case.code)) else []


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
