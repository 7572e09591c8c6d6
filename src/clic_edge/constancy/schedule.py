"""When a protocol is due: once after each of its moments, whenever the worker is there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from clic_edge.domain.constancy import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from clic_edge.domain.constancy import Run


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
