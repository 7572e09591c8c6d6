"""What is written to the terminal."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from clic_edge.domain.case import CaseState

# What stands in brackets or between colons is what it is: senders choose their AE titles themselves.
stdout = Console(highlight=False, markup=False, emoji=False)
stderr = Console(stderr=True, highlight=False, markup=False, emoji=False)

STYLES = {
    "delivered": "green",
    "refused": "yellow",
    "quarantined": "bold red",
    "waiting": "cyan",
    "running": "blue",
    "received": "blue",
    "superseded": "dim",
    "withdrawn": "magenta",
}


def problem(sentence: str, code: str) -> None:
    """Write an error in one sentence, with the code that the documentation lists."""
    whole_line = Text.assemble(("clic-edge: ", "bold"), (sentence, "red"), f" [{code}]")
    stderr.print(whole_line, soft_wrap=True)


def note(sentence: str) -> None:
    """Write what a person should know, beside the result."""
    stderr.print(Text(sentence, style="dim"), soft_wrap=True)


def whole(name: str) -> Column:
    """Return a column whose values stay on one line, so that they can be copied."""
    return Column(name, no_wrap=True)


def table(
    title: str, columns: Iterable[str | Column], rows: Iterable[Iterable[str | Text]]
) -> None:
    """Write a table; columns without names have no line of names above them."""
    drawn = Table(
        *(Column(one, overflow="fold") if isinstance(one, str) else one for one in columns),
        box=None,
        pad_edge=False,
    )
    drawn.show_header = any(column.header for column in drawn.columns)
    for row in rows:
        drawn.add_row(*row)
    stdout.print(Text(title, "bold"), soft_wrap=True)
    stdout.print(drawn)
    stdout.print()


def state(value: CaseState) -> Text:
    """Return a state in its colour."""
    return Text(value, style=STYLES.get(value, ""))


def moment(value: datetime | None) -> str:
    """Return a moment in the reader's own time zone, to the second."""
    return f"{value.astimezone():%Y-%m-%d %H:%M:%S}" if value else ""


def stamp(value: datetime) -> str:
    """Return a moment in UTC, for machines."""
    return value.astimezone(UTC).isoformat(timespec="seconds")
