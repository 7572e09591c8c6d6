"""Clocks: one that jumps, and the one on the wall by which nights begin.

After a jump, what can't be undone waits until a person has had a day to set it right.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from clic_edge import telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import tzinfo

    from clic_edge.domain.case import Case

JUMP: Final = timedelta(minutes=10)
"""A clock that is led by NTP never moves so far at once."""
_DISTRUSTED: Final = timedelta(days=1)
_LOCAL: Final = Path("/etc/localtime")


def local_zone() -> tzinfo:
    """Return the machine's own time zone; UTC where it has none."""
    try:
        with _LOCAL.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


def last_moment(at: str, now: datetime, zone: tzinfo) -> datetime:
    """Return the newest moment, in UTC and not after `now`, at which a clock in `zone` showed `at`.

    Where the clock is put forward over `at`, it is the moment at which it would have shown it;
    where it shows it twice, the first of the two.
    """
    today = now.astimezone(zone).date()
    hour = time_of_day.fromisoformat(at)
    for day in (today, today - timedelta(days=1)):
        moment = datetime.combine(day, hour, tzinfo=zone).astimezone(UTC)
        if moment <= now:
            return moment
    return moment


def misdated(cases: Iterable[Case], *, now: datetime, patience: timedelta) -> tuple[Case, ...]:
    """Return the cases that wait for a moment which a clock that ran ahead has set.

    They have waited since a moment that is still to come, or for longer than any case waits.
    """
    return tuple(
        case
        for case in cases
        if case.next_attempt_at
        and (case.updated_at > now + JUMP or case.next_attempt_at > now + patience)
    )


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
