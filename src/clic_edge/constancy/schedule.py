"""When a protocol is due: once after each of its moments, whenever the worker is there."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from clic_edge.domain.constancy import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from clic_edge.domain.constancy import Run

_LOCAL = Path("/etc/localtime")


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
    hour = time.fromisoformat(at)
    for day in (today, today - timedelta(days=1)):
        moment = datetime.combine(day, hour, tzinfo=zone).astimezone(UTC)
        if moment <= now:
            return moment
    return moment


def is_due(moment: datetime, runs: Iterable[Run], *, interval_days: int) -> bool:
    """Whether a protocol should run for a moment, given its runs that were held against a record.

    Once, however many moments were missed. One that did not come to its end is run once more.
    """
    given = [one for one in runs if one.record_id is not None]
    since = [one for one in given if one.started_at >= moment]
    if since:
        return len(since) == 1 and since[0].verdict is Verdict.INCOMPLETE
    if not given:
        return True
    # One that began late in the day does not push the next one to the day after.
    return moment - given[-1].started_at > timedelta(days=interval_days - 1)
