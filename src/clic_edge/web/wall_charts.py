"""The charts of the wall as pictures: a sum to each side, its limits, alarms and notes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from markupsafe import Markup

from clic_edge.board.naming import called
from clic_edge.board.wall import ChartDay, Side, Wall, WallChart
from clic_edge.domain.monitoring import EVERY, Direction
from clic_edge.drawing.control import (
    ControlChart,
    Limit,
    Mark,
    Period,
    Point,
    Trace,
    control_chart,
)
from clic_edge.drawing.look import Language as Tongue
from clic_edge.drawing.look import Look
from clic_edge.drawing.numerals import say_number
from clic_edge.web.words import Language, say

if TYPE_CHECKING:
    from clic_edge.web.model import Top


def drawn(board: Wall, top: "Top", *, language: Language) -> Mapping[str, Markup]:
    """Return the picture of each chart of the wall, by the chart's name."""
    return {one.chart: _picture(one, board, top, language=language) for one in board.charts}


def _picture(chart: WallChart, board: Wall, top: "Top", *, language: Language) -> Markup:
    head = board.reference
    baseline = None
    if head and head.last_at.date() >= board.first:
        baseline = Period(
            first=max(head.first_at.date(), board.first),
            last=head.last_at.date(),
            name=say(language, "wall.reference_days"),
        )
    provisional = head is not None and head.provisional
    picture = ControlChart(
        title=called(chart.chart, language),
        message=_message(chart, language),
        label=say(language, "wall.sum"),
        traces=tuple(
            Trace(
                name=say(language, f"wall.{one.design.direction}"),
                points=tuple(_points(one, top, board=board, language=language)),
            )
            for one in chart.sides
        ),
        limits=tuple(
            Limit(value=_sign(one) * one.design.limit, name=say(language, "wall.limit"))
            for one in chart.sides
        ),
        baseline=baseline,
        alarms=tuple(
            Mark(
                day=one.opened_at.date(),
                name=one.sentence,
                tip=one.sentence,
                href=f"/alarms/{quote(one.alarm_id)}",
            )
            for one in chart.alarms
            if board.first <= one.opened_at.date() <= board.last
        ),
        notes=tuple(
            Mark(day=one.day, name=one.text or say(language, f"wall.detected_{one.kind}"))
            for one in board.notes
        ),
        provisional=say(language, "wall.provisional_short") if provisional else "",
        first=board.first,
        last=board.last,
    )
    return Markup(control_chart(picture, Look(language=Tongue(language), width=440, height=250)))  # noqa: S704 - the drawing escapes what it is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One day of a chart, its sides beside each other."""

    day: date
    n: int
    value: float
    sums: tuple[float | None, ...]
    """By side."""


def rows_of(chart: WallChart) -> tuple[Row, ...]:
    """Return the days of a chart as a table has them, oldest first."""
    by_day: dict[date, list[ChartDay | None]] = {}
    for index, side in enumerate(chart.sides):
        for one in side.days:
            by_day.setdefault(one.day, [None] * len(chart.sides))[index] = one
    rows = []
    for day, sides in sorted(by_day.items()):
        told = next(one for one in sides if one)
        sums = tuple(one.statistic if one else None for one in sides)
        rows.append(Row(day=day, n=told.n, value=told.value, sums=sums))
    return tuple(rows)


def _sign(side: Side) -> int:
    return 1 if side.design.direction is Direction.UP else -1


def _points(side: Side, top: "Top", *, board: Wall, language: Language) -> Iterator[Point]:
    tongue, is_linked = Tongue(language), side.design.direction is Direction.UP
    for one in side.days:
        tip = say(
            language,
            "wall.tip",
            day=one.day,
            n=one.n,
            value=say_number(one.value, tongue),
            sum=say_number(one.statistic, tongue),
            limit=say_number(one.limit, tongue),
        )
        yield Point(
            day=one.day,
            value=_sign(side) * one.statistic,
            beyond=one.statistic > one.limit,
            tip=tip,
            # One link for each day is enough: the other side's point is of the same cases.
            href=cases_of(top, one.day, board) if is_linked or one.statistic > one.limit else "",
        )


def _message(chart: WallChart, language: Language) -> str:
    alarming = any(one.alarming for one in chart.sides)
    highest = max(one.highest for one in chart.sides)
    key = "wall.message_alarm" if alarming else "wall.message"
    return say(language, key, highest=round(100 * highest), n=chart.n)


def cases_of(top: "Top", day: date, board: Wall) -> str:
    """Return where the cases of a model's day are listed."""
    asked = {"model": top.model_id, "since": day.isoformat(), "until": day.isoformat()}
    if board.reference and board.reference.stratum != EVERY:
        stratum = board.reference.stratum
        asked |= {
            "manufacturer": stratum.manufacturer,
            "scanner": stratum.model_name,
            "software": stratum.software_versions,
        }
    return f"/cases?{urlencode(asked)}"
