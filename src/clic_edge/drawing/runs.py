"""A calendar of runs: each day a sign of its own shape and its own colour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from itertools import accumulate
from typing import TYPE_CHECKING

from clic_edge.drawing.look import STANDARD
from clic_edge.drawing.numerals import say_month, weekdays
from clic_edge.drawing.plane import LETTER, heading
from clic_edge.drawing.svg import chart, element, hinted, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.drawing.look import Look

_CELL, _LEFT, _TOP, _LEGEND = 16, 28, 42, 26
_WEEK = timedelta(days=7)


class Outcome(StrEnum):
    """What became of a day's run."""

    PASSED = "passed"
    FAILED = "failed"
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One day."""

    day: date
    outcome: Outcome
    tip: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Days as weeks from left to right; as wide as it has weeks, whatever width is asked for."""

    title: str
    message: str
    runs: tuple[Run, ...]
    names: tuple[tuple[Outcome, str], ...] = ()
    """What the outcomes are called, for the legend."""


def calendar(drawn: Calendar, look: Look = STANDARD) -> str:
    """Return the calendar as SVG; a month or a year, as the runs are."""
    days = [one.day for one in drawn.runs]
    first, last = (_monday(min(days)), max(days)) if days else (date(1970, 1, 5), date(1970, 1, 5))
    weeks = (last - first).days // 7 + 1
    wide = replace(
        look,
        width=max(260, _LEFT + weeks * _CELL + 8, *_ends(drawn)),
        height=_TOP + 7 * _CELL + _LEGEND,
    )
    body = (
        heading(wide, drawn.title),
        *_months(first, weeks, wide),
        *(
            text(0, _TOP + _CELL * row + 12, name, fill=look.theme.quiet)
            for row, name in enumerate(weekdays(look.language))
            if row % 2 == 0
        ),
        *(_run(one, first, wide) for one in drawn.runs),
        *_legend(drawn, wide),
    )
    return chart(drawn.title, drawn.message, body, look=wide)


def _monday(day: date) -> date:
    return day - timedelta(days=min(day.weekday(), day.toordinal() - 1))


def _months(first: date, weeks: int, look: Look) -> Iterator[str]:
    told = None
    for week in range(weeks):
        day = first + _WEEK * week
        if day.month != told and (day.day <= 7 or week == 0):  # noqa: PLR2004 - its first week
            told = day.month
            if week != 0 or day.day <= 21:  # noqa: PLR2004 - else the next month's name stands there
                yield text(_LEFT + week * _CELL, _TOP - 6, say_month(day, look.language), fill=look.theme.quiet)  # fmt: skip


def _run(one: Run, first: date, look: Look) -> str:
    week, row = divmod((one.day - first).days, 7)
    mark = sign(one.outcome, _LEFT + week * _CELL, _TOP + row * _CELL, look=look)
    return hinted(mark, one.tip, one.href, stop=one.outcome is not Outcome.PASSED)


def sign(outcome: Outcome, x: float, y: float, *, look: Look) -> str:
    """Return an outcome's sign in a cell: a filled square, a cross on it, an empty ring."""
    theme = look.theme
    if outcome is Outcome.MISSED:
        return element(
            "circle", cx=x + 7, cy=y + 7, r=4.5, fill="none", stroke=theme.warn, stroke_width=1.8
        )
    fill = theme.good if outcome is Outcome.PASSED else theme.bad
    square = element("rect", x=x + 1, y=y + 1, width=12, height=12, rx=2, fill=fill)
    strokes = "M3 7l3 3l5 -6" if outcome is Outcome.PASSED else "M3.5 3.5l7 7m0 -7l-7 7"
    return square + element(
        "path",
        d=strokes,
        transform=f"translate({x:.1f} {y:.1f})",
        fill="none",
        stroke=theme.ground,
        stroke_width=1.8,
    )


def _ends(drawn: Calendar) -> Iterator[int]:
    """Return how far each name of the legend reaches to the right."""
    lengths = (32 + int(LETTER * len(name)) for _, name in drawn.names)
    return accumulate(lengths)


def _legend(drawn: Calendar, look: Look) -> Iterator[str]:
    x = 0.0
    for outcome, name in drawn.names:
        yield sign(outcome, x, look.height - 18, look=look)
        yield text(x + 18, look.height - 7, name, fill=look.theme.quiet)
        x += 32 + LETTER * len(name)
