"""What looks again and again beside the worker, or beside the pages, and never ends unnoticed."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.errors import ClicEdgeError
from clic_edge.ledger.database import DatabaseFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def beside(
    name: str,
    *looks: Callable[[datetime], object],
    every_seconds: float,
    stop: threading.Event | None = None,
    to_its_end: bool = False,
) -> Iterator[None]:
    """Look again and again in a thread of its own, until what runs within has ended.

    Whatever a look raises is logged and counted; the others, and the next time, come all the same.
    At the end `stop` is set, and a look in hand is given a second, or the time `to_its_end`.
    """
    ended = stop or threading.Event()

    def work() -> None:
        while not ended.is_set():
            for look in looks:
                try:
                    look(datetime.now(UTC))
                except Exception as error:  # noqa: BLE001 - a thread that ended would be missed by nobody
                    telemetry.look_failed(
                        source=name, code=_code(error), error=type(error).__name__
                    )
            ended.wait(every_seconds)

    thread = threading.Thread(target=work, name=name, daemon=not to_its_end)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(None if to_its_end else 1)


def _code(error: Exception) -> str:
    match error:
        case ClicEdgeError(code=code):
            return code
        case DatabaseFailed():
            return "database-away"
        case _:
            return "unexpected-error"
