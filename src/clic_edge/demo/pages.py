"""What a demo says of the pages, and how long they stay."""

from __future__ import annotations

from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING

from clic_edge.cli.console import note, stdout

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.demo.site import Visitor


def say_pictures(pictures: tuple[Path, ...]) -> None:
    """Say where the pictures of the pages are, or what makes them."""
    for picture in pictures:
        stdout.print(f"see {picture}", soft_wrap=True)
    if not pictures:
        note("With Chromium (apt-get install chromium) there are pictures of the pages, too.")


def say_address(visitor: Visitor) -> None:
    """Say where the pages are, and how to get in."""
    stdout.print(
        f"log in at {visitor.url} as {visitor.name} with the password {visitor.password}",
        soft_wrap=True,
    )


def keep_up(*, stay: bool) -> None:
    """Return at Ctrl-C where the pages are to stay, else at once."""
    if not stay:
        note("The pages end with the demo; `--stay` keeps them up until Ctrl-C.")
        return
    note("Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):
        Event().wait()
