"""Every command of the command line, and its help as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer.main

from clic_edge.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.core import TyperCommand, TyperGroup

    Command = TyperCommand | TyperGroup

WIDTH = 100


def commands() -> dict[tuple[str, ...], Command]:
    """Return the commands by the words after ``clic-edge``, groups before what is in them."""
    return dict(_below(typer.main.get_command(app), ()))


def _below(command: Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Command]]:
    yield words, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from _below(sub, (*words, name))


def options(command: Command) -> set[str]:
    """Return every spelling of every option of a command."""
    return {"--help", *(name for param in command.params for name in param.opts)}


def help_text(words: tuple[str, ...], command: Command) -> str:
    """Return the help without colours and frames, the same on every terminal."""
    command.rich_markup_mode = None
    context = typer.Context(
        command,
        info_name=" ".join(("clic-edge", *words)),
        terminal_width=WIDTH,
        max_content_width=WIDTH,
    )
    return command.get_help(context)
