"""`clic-edge notify`: is anybody told when something happens?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from clic_edge.cli.console import moment, note, table
from clic_edge.cli.context import appliance_of, ledger_of
from clic_edge.domain.notice import Notice, NoticeKind, SendingState, Urgency
from clic_edge.errors import ClicEdgeError, Transient

if TYPE_CHECKING:
    from clic_edge.notify.channel import Channel

app = typer.Typer(
    help="Notices by mail, webhook and syslog: try the channels, and see what became of them.",
    no_args_is_help=True,
)
_STYLES = {
    SendingState.SENT: "green",
    SendingState.WAITING: "yellow",
    SendingState.GIVEN_UP: "bold red",
}


@app.command("test")
def send_test(context: typer.Context) -> None:
    """Send a test message through every channel now, and say which took it.

    Example: `clic-edge notify test`
    """
    from clic_edge.notify.post import channels_of  # noqa: PLC0415 - for a fast --help

    channels = channels_of(appliance_of(context).settings)
    if not channels:
        note(
            "Nobody is told: the settings have no [notify.email], [notify.webhook] or [notify.syslog]."
        )
    now = datetime.now(UTC)
    notice = Notice(kind=NoticeKind.TEST, key=now.isoformat(), at=now, urgency=Urgency.ERROR)
    hindrances = [(one.name, _hindrance(one, notice)) for one in channels]
    table(
        "test",
        ("channel", "", "why"),
        (
            (name, Text("no", "bold red"), error.sentence)
            if error
            else (name, Text("taken", "green"), "")
            for name, error in hindrances
        ),
    )
    if any(error for _, error in hindrances):
        raise typer.Exit(Transient.exit_code)


def _hindrance(channel: Channel, notice: Notice) -> ClicEdgeError | None:
    try:
        channel.send([notice])
    except ClicEdgeError as error:
        return error
    return None


@app.command()
def status(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 20,
) -> None:
    """Show what was sent, what waits since when and why, and what was given up.

    Example: `clic-edge notify status`
    """
    outbox = ledger_of(context).notices
    table(
        "channels",
        ("channel", "state", "notices", "oldest"),
        (
            (one.channel, Text(one.state, _STYLES[one.state]), str(one.count), moment(one.oldest))
            for one in outbox.counts()
        ),
    )
    table(
        "newest",
        ("at", "kind", "about", "detail", "channel", "state", "tries", "next", "why"),
        (
            (
                moment(one.notice.at),
                one.notice.kind,
                one.notice.about,
                one.notice.detail,
                one.channel,
                Text(one.state, _STYLES[one.state]),
                str(one.attempts),
                moment(one.next_at) if one.state is SendingState.WAITING else "",
                one.code,
            )
            for one in outbox.newest(limit)
        ),
    )
