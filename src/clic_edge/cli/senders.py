"""`clic-edge senders …`: who may send studies to the appliance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from clic_edge.board.senders import senders
from clic_edge.cli.console import moment, note, table
from clic_edge.cli.context import ledger_of
from clic_edge.domain.sender import Sender

app = typer.Typer(help="Who may send studies, and who tried to.", no_args_is_help=True)
AETitle = Annotated[str, typer.Argument(help="What it calls itself.", metavar="AE_TITLE")]
Address = Annotated[str, typer.Argument(help="Where it calls from.", metavar="ADDRESS")]
Person = Annotated[str, typer.Option("--by", help="Who says so; for the audit trail.")]


@app.command("list")
def list_senders(context: typer.Context) -> None:
    """Print who was seen and is not allowed, then who is; nothing of what they sent is kept."""
    rows = senders(ledger_of(context))
    table(
        f"senders: {len(rows)}",
        ("AE title", "address", "", "what it is", "last seen", "refused", "allowed by"),
        (
            (
                row.ae_title,
                row.address,
                Text("allowed", "green")
                if row.is_allowed
                else Text("another address" if row.is_elsewhere else "not allowed", "bold red"),
                row.name,
                moment(row.last_at),
                str(row.instances),
                row.allowed_by,
            )
            for row in rows
        ),
    )


@app.command()
def allow(
    context: typer.Context,
    ae_title: AETitle,
    address: Address,
    *,
    name: Annotated[str, typer.Option(help="What it is, e.g. `CT 1, room 4`.")],
    why: Annotated[str, typer.Option(help="Why it may send.")],
    by: Person,
) -> None:
    """Let a sender in, within a second; what it was refused it has to send again.

    Example: `clic-edge senders allow CT1 192.0.2.7 --name "CT 1, room 4" --why "ticket 12" --by Ida`
    """
    now = datetime.now(UTC)
    ledger_of(context).senders.allow(
        Sender(
            ae_title=ae_title,
            address=address,
            first_at=now,
            last_at=now,
            instances=0,
            name=name,
            reason=why,
            allowed_by=by,
            allowed_at=now,
        )
    )
    note(f"{ae_title} at {address} may send.")


@app.command()
def forget(context: typer.Context, ae_title: AETitle, address: Address, *, by: Person) -> None:
    """Take a sender off the list: it may not send any more, after five seconds at most."""
    ledger_of(context).senders.forget(ae_title, address, by=by, at=datetime.now(UTC))
    note(f"{ae_title} at {address} may not send.")
