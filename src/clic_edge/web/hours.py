"""The last hours on the first page, as a chart: each bar leads to the cases of its hour."""

from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

from markupsafe import Markup

from clic_edge.board.overview import HourCount, Overview
from clic_edge.domain.case import CaseState
from clic_edge.drawing.hours import HourlyBars, HourOfCounts, hourly_bars
from clic_edge.drawing.look import Language as Tongue
from clic_edge.drawing.look import Look
from clic_edge.web.words import Language, say

GROUPS: Final = MappingProxyType(
    {
        "delivered": (CaseState.DELIVERED,),
        "under_way": (CaseState.RECEIVED, CaseState.RUNNING, CaseState.WAITING),
        "refused": (CaseState.REFUSED,),
        "quarantined": (CaseState.QUARANTINED,),
        "past": (CaseState.SUPERSEDED, CaseState.WITHDRAWN),
    }
)
"""What is stacked, from the bottom upward; each state is in one of them."""


def hours_chart(seen: Overview, language: Language) -> Markup:
    """Return how many cases came in each of the last hours, and what became of them."""
    total = sum(one.count for one in seen.today)
    drawn = HourlyBars(
        title=say(language, "overview.hours"),
        message=say(language, "overview.hours_told", count=total),
        label=say(language, "overview.hours_cases"),
        names=tuple(say(language, f"overview.group_{name}") for name in GROUPS),
        hours=tuple(_hour(one, language) for one in seen.hours),
    )
    look = Look(language=Tongue(language), width=760, height=220)
    return Markup(hourly_bars(drawn, look))  # noqa: S704 - text in it is escaped where it is drawn


def _hour(hour: HourCount, language: Language) -> HourOfCounts:
    known = {one.state: one.count for one in hour.states}
    counts = {name: sum(known.get(one, 0) for one in states) for name, states in GROUPS.items()}
    told = [f"{say(language, f'overview.group_{name}')} {n}" for name, n in counts.items() if n]
    return HourOfCounts(
        name=f"{hour.begins_at:%H:%M}",
        counts=tuple(counts.values()),
        tip=f"{hour.begins_at:%H:%M}: {', '.join(told)}",
        href=f"/cases?{urlencode({'hour': hour.begins_at.isoformat()})}",
    )
