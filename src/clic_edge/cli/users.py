"""`clic-edge users …`: who may be at the pages, and in which role."""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.text import Text

from clic_edge.cli.console import moment, note, stdout, table, whole
from clic_edge.cli.context import ledger_of
from clic_edge.domain.account import Role
from clic_edge.errors import ConfigError

app = typer.Typer(help="Accounts of people and programs at the pages.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of the account.", metavar="NAME")]
RoleOption = Annotated[Role, typer.Option("--role", help="What the account may do.")]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    *,
    role: RoleOption = Role.VIEWER,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="For a program that comes with a token only.")
    ] = False,
) -> None:
    """Add an account; its password is asked for, or read from standard input where that is a pipe.

    A password has at least 12 letters, several different ones, and is not the name. It is never
    an argument, because every user of the machine sees those.

    Viewers read; physicists also act on alarms, cases and models; administrators also decide
    about accounts.

    Example: `clic-edge users add "Ida Fysiker" --role administrator`
    """
    from clic_edge.accounts.door import Door  # noqa: PLC0415 - for a fast --help
    from clic_edge.accounts.passwords import require_strong  # noqa: PLC0415 - as above
    from clic_edge.ledger.accounts import AccountRecord, tidy_name  # noqa: PLC0415 - as above

    ledger = ledger_of(context)
    if ledger.accounts.find(name):
        raise ConfigError("account-exists", "There is an account of that name already.")
    password = "" if no_password else _password()
    if not no_password:
        require_strong(password, tidy_name(name))
    record = AccountRecord(name=name, role=role, created_at=datetime.now(UTC))
    record = ledger.accounts.add(record, by=_whoever())
    if not no_password:
        Door(ledger).set_password(record, password, by=_whoever())
    note(f"{record.name} is {record.role}.")


@app.command("list")
def list_accounts(context: typer.Context) -> None:
    """Print every account, and the tokens that still let in."""
    ledger, now = ledger_of(context), datetime.now(UTC)
    records = ledger.accounts.all()
    table(
        f"accounts: {len(records)}",
        ("name", "role", "logs in by", "state", "since"),
        (
            (
                one.name,
                one.role,
                one.issuer or ("password" if one.password_hash else "token only"),
                Text("disabled", "red") if one.is_disabled else "",
                moment(one.created_at),
            )
            for one in records
        ),
    )
    live = [
        (token.name, token.label, token.role, moment(token.expires_at), token.token_id)
        for one in records
        for token in ledger.api_tokens.of(one.name)
        if not token.revoked_at and token.expires_at > now
    ]
    if live:
        table("tokens", ("account", "for", "role", "expires", whole("id")), live)


@app.command()
def role(
    context: typer.Context,
    name: Name,
    to: Annotated[Role, typer.Argument(help="The new role.", metavar="ROLE")],
) -> None:
    """Give an account another role; whoever is logged in by it logs in again."""
    ledger = ledger_of(context)
    ledger.accounts.set_role(name, to, by=_whoever())
    note(f"{ledger.accounts.named(name).name} is {to}.")


@app.command()
def password(context: typer.Context, name: Name) -> None:
    """Give an account another password, asked for as by `add`; its sessions end.

    Waits after failed attempts are forgotten, so this also lets in who was made to wait.
    """
    from clic_edge.accounts.door import Door  # noqa: PLC0415 - for a fast --help

    ledger = ledger_of(context)
    record = ledger.accounts.named(name)
    Door(ledger).set_password(record, _password(), by=_whoever())
    note(f"The password of {record.name} is changed.")


@app.command()
def disable(
    context: typer.Context,
    name: Name,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Let the account in again.")] = False,
) -> None:
    """Let an account in no more: its sessions end at once, and its tokens are dead.

    An account is never deleted, because the audit trail names it.
    """
    ledger = ledger_of(context)
    change = ledger.accounts.enable if undo else ledger.accounts.disable
    change(name, by=_whoever())
    note(f"{ledger.accounts.named(name).name} is {'let in' if undo else 'disabled'}.")


@app.command()
def token(
    context: typer.Context,
    name: Name,
    *,
    label: Annotated[str, typer.Option("--for", help="What the token is for.")] = "",
    role: RoleOption = Role.VIEWER,
    days: Annotated[int, typer.Option(min=1, max=3660, help="How long it lets in.")] = 365,
    revoke: Annotated[str, typer.Option(help="Id of a token that lets in no more.")] = "",
) -> None:
    """Make a token by which a program asks the API in an account's name; it is shown once.

    The program sends it as `Authorization: Bearer TOKEN`.

    Example: `clic-edge users token grafana --for "board in the control room" --days 90`
    """
    from clic_edge.accounts.door import Door, TokenUse  # noqa: PLC0415 - for a fast --help

    ledger, now = ledger_of(context), datetime.now(UTC)
    record = ledger.accounts.named(name)
    if revoke:
        ledger.api_tokens.revoke(record.name, revoke, by=_whoever(), now=now)
        note(f"The token {revoke} lets in no more.")
        return
    given = TokenUse(label=label, role=role, expires_at=now + timedelta(days=days))
    made = Door(ledger).new_token(record, given, by=_whoever(), now=now)
    stdout.print(made, soft_wrap=True)
    note("It is not shown again.")


def _password() -> str:
    """Return a password that a person types twice, or that a program pipes in."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _whoever() -> str:
    """Return who is at the command line, for the audit trail."""
    return f"{getpass.getuser()} at the command line"
