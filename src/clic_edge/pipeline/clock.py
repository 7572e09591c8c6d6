"""A clock that jumps: what can't be undone waits until a person has had a day to set it right."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from clic_edge import telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from clic_edge.domain.case import Case

JUMP: Final = timedelta(hours=1)
"""A clock that is led by NTP never moves so far at once."""
_DISTRUSTED: Final = timedelta(days=1)


def misdated(waiting: Iterable[Case], *, latest: datetime) -> tuple[Case, ...]:
    """Return the cases that wait beyond the latest moment there is: a clock that ran ahead set it."""
    return tuple(case for case in waiting if case.next_attempt_at and case.next_attempt_at > latest)


def _wall() -> datetime:
    return datetime.now(UTC)


def _since_boot() -> float:
    # Goes on while the machine sleeps, which the monotonic clock does not.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """The wall clock, held against one that nobody can set."""

    def __init__(
        self,
        wall: Callable[[], datetime] = _wall,
        since_boot: Callable[[], float] = _since_boot,
    ) -> None:
        self._wall = wall
        self._since_boot = since_boot
        self._looked = (wall(), since_boot())
        self._jumped: float | None = None

    def look(self, tell: Callable[[timedelta], None] | None = None) -> datetime:
        """Return the wall clock's moment; say it where the clock jumped since the last look.

        `tell` is given by how much, backwards below zero.
        """
        (wall_before, boot_before), now = self._looked, (self._wall(), self._since_boot())
        jump = now[0] - wall_before - timedelta(seconds=now[1] - boot_before)
        if abs(jump) >= JUMP:
            telemetry.clock_jumped(seconds=jump.total_seconds())
            self._jumped = now[1]
            if tell:
                tell(jump)
        self._looked = now
        return now[0]

    @property
    def is_trusted(self) -> bool:
        """Whether it has not jumped for a day."""
        if self._jumped is None:
            return True
        return timedelta(seconds=self._since_boot() - self._jumped) >= _DISTRUSTED
