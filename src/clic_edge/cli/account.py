"""`clic-edge account`: what entered on a day, what became of it, and do all books say the same?"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter
from rich.progress import Progress
from rich.text import Text

from clic_edge.cli.console import moment, note, stderr, stdout, table, whole
from clic_edge.cli.context import opened
from clic_edge.errors import ConfigError, Defect, Transient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clic_edge.app import Appliance
    from clic_edge.board.accounting import AccountView
    from clic_edge.domain.accounting import Comparison, DayAccount, Difference

_SHOWN = 50


def account(
    context: typer.Context,
    *,
    day: Annotated[
        str, typer.Option(help="Year-month-day in UTC. Default: yesterday.", metavar="DAY")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="How many cases are listed.")] = _SHOWN,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: the account with every case.")
    ] = False,
) -> None:
    """Account for every study of a day: its outcome, its results, their receipts.

    Orthanc and each destination are asked what they hold. A study of which there is no case is
    taken in. Every difference rings an alarm. The account is kept, unless the day goes on.

    Exit code 5: something differs. 4: a place did not answer.

    Example: `clic-edge account --day 2026-11-20`
    """
    from clic_edge.board.accounting import view_of  # noqa: PLC0415 - for a fast --help

    appliance, now = opened(context), datetime.now(UTC)
    wanted = _day(day, now)
    view = view_of(*_made(appliance, wanted, now))
    if as_json:
        _write_json(appliance, view)
    else:
        _show(view)
        _list_cases(appliance, wanted, limit)
    if view.differences:
        raise Defect("account-differs", f"The account of {wanted} differs; see what stands above.")
    if not view.complete:
        raise Transient(
            "account-incomplete", f"Not every place could be asked for the account of {wanted}."
        )


def _day(text: str, now: datetime) -> date:
    try:
        day = date.fromisoformat(text) if text else now.date() - timedelta(days=1)
    except ValueError as error:
        raise ConfigError("bad-day", "--day is a date such as 2026-11-20.") from error
    if day > now.date():
        raise ConfigError("bad-day", f"{day} has not begun yet.")
    return day


def _made(
    appliance: Appliance, day: date, now: datetime
) -> tuple[DayAccount, tuple[Difference, ...]]:
    """Make the account, and keep it where the day is over."""
    from clic_edge.accounting.making import make_account  # noqa: PLC0415 - as above

    with _progress() as tell:
        account, differences = make_account(appliance.books(), day, now=now, tell=tell)
    if day < now.date():
        appliance.ledger.accounting.keep(account, differences)
    else:
        note(f"{day} goes on: the account is not kept, and rings no alarm.")
    return account, differences


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    with Progress(console=stderr, transient=True) as progress:
        bar = progress.add_task("archive", total=None)

        def tell(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total, description="cases")

        yield tell


def _show(view: AccountView) -> None:
    account = view.account
    parts = " + ".join(f"{one.count} {one.outcome}" for one in view.outcomes)
    stdout.print(Text(f"{account.day} (UTC)", "bold"))
    stdout.print(f"{account.entered} entered = {parts}", soft_wrap=True)
    stdout.print(f"{account.results} result objects, {account.receipts} receipts")
    if seen := account.arrivals:
        stdout.print(
            f"{seen.studies} studies arrived in Orthanc = {seen.with_case} with a case "
            f"+ {seen.taken_in_late} taken in now + {seen.without_images} without images",
            soft_wrap=True,
        )
    stdout.print(
        Text("It adds up.", "green") if view.balances else Text("It does not add up.", "red")
    )
    stdout.print()
    table(
        "compared with",
        ("place", "studies", "objects", ""),
        (
            (one.place, str(one.studies), str(one.objects), _hindrance(one))
            for one in account.comparisons
        ),
    )
    if view.differences:
        _show_differences(view)


def _show_differences(view: AccountView) -> None:
    table(
        "differences",
        ("kind", "at", "count"),
        ((one.kind, one.destination, str(one.count)) for one in view.account.differences),
    )
    table(
        "of which",
        ("kind", "at", whole("case"), whole("study in Orthanc"), whole("SOP Instance UID")),
        (
            (one.kind, one.destination, one.case_id, one.study_id, one.sop_instance_uid)
            for one in view.differences[:_SHOWN]
        ),
    )


def _hindrance(one: Comparison) -> Text:
    return Text(f"not asked to the end: {one.hindrance}", "red") if one.hindrance else Text("whole")


def _list_cases(appliance: Appliance, day: date, limit: int) -> None:
    from clic_edge.board.accounting import all_entries  # noqa: PLC0415 - as above

    shown = list(islice(all_entries(appliance.ledger, day), limit))
    table(
        f"cases: {len(shown)}",
        (whole("case"), "pipeline", "received", "outcome", "why", "object", "receipts"),
        (
            (
                one.case_id if first else "",
                one.pipeline if first else "",
                moment(one.received_at) if first else "",
                one.outcome if first else "",
                one.code if first else "",
                f"{sent.kind} {sent.sop_instance_uid}" if sent else "",
                ", ".join(f"{it.destination}: {it.status}" for it in sent.receipts) if sent else "",
            )
            for one in shown
            for first, sent in [
                (number == 0, sent) for number, sent in enumerate(one.objects or [None])
            ]
        ),
    )


def _write_json(appliance: Appliance, view: AccountView) -> None:
    """Write the account, and its cases one by one: none is in memory longer than its line."""
    from clic_edge.board.accounting import AccountView, EntryLine, all_entries  # noqa: PLC0415 - as above

    whole_view = TypeAdapter(AccountView).dump_json(view).decode()
    line = TypeAdapter(EntryLine)
    sys.stdout.write(f'{whole_view[:-1]},"cases":[')
    for number, entry in enumerate(all_entries(appliance.ledger, view.account.day)):
        sys.stdout.write(("," if number else "") + "\n" + line.dump_json(entry).decode())
    sys.stdout.write("]}\n")
