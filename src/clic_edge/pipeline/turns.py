"""Whose turn it is at a destination: one that hangs takes one place of each queue, and not all."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from clic_edge.errors import Transient

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_SECONDS: Final = 2.0
"""How long a case may be at a destination until the others no longer wait for it to leave."""
_ASK_AGAIN: Final = timedelta(seconds=5)


class Turns:
    """One case of each queue at a time at a destination, of one worker; shared by its threads.

    A worker has few places for cases. A PACS that answers after half a minute, or never, would
    take them all as its cases come in, and cases for other destinations would wait behind them.
    """

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._there: dict[tuple[str, str], float] = {}
        """Since when a case of a queue is at a destination."""
        self._ailing: set[str] = set()

    @contextmanager
    def turn(self, name: str, queue: str = "") -> Iterator[None]:
        """Talk to a destination; what is raised as Transient within says that it is in trouble.

        Raises
        ------
        Transient
            ``destination-busy``: another case is there and gets no answer, or none soon.

        """
        place = name, queue
        with self._news:
            while place in self._there:
                left = self._there[place] + PATIENCE_SECONDS - monotonic()
                if left <= 0 or name in self._ailing:
                    raise self._busy(name)
                self._news.wait(left)
            self._there[place] = monotonic()
        try:
            yield
            self._ailing.discard(name)
        except Transient:
            self._ailing.add(name)
            raise
        finally:
            with self._news:
                del self._there[place]
                self._news.notify_all()

    def _busy(self, name: str) -> Transient:
        """Return why somebody does not wait; from one in trouble cases stay away ever longer."""
        return Transient(
            "destination-busy",
            f"Another case is at {name} and waits for its answer.",
            retry_after=None if name in self._ailing else _ASK_AGAIN,
        )
