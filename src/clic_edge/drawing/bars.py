"""Counts by day, stacked by what became of them; and counts by reason, the largest first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clic_edge.drawing.look import STANDARD
from clic_edge.drawing.numerals import say_number, say_share
from clic_edge.drawing.plane import (
    BOTTOM,
    LETTER,
    TOP,
    axis_of_days,
    axis_up,
    days_across,
    fitted,
    from_zero,
    heading,
    legend,
    plane,
)
from clic_edge.drawing.svg import chart, element, hinted, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from clic_edge.drawing.look import Look
    from clic_edge.drawing.plane import Plane

_LEGEND, _ROW = 18, 22


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfCounts:
    """A day's counts, one for each name of the chart."""

    day: date
    counts: tuple[int, ...]
    tip: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Counts by day."""

    title: str
    message: str
    label: str = ""
    names: tuple[str, ...]
    """From the bottom upward; six at most have a colour of their own."""
    days: tuple[DayOfCounts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """How often something was the reason."""

    name: str
    count: int
    tip: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pareto:
    """Reasons by their number, with the share of all up to each."""

    title: str
    message: str
    reasons: tuple[Reason, ...]


def bars(drawn: Bars, look: Look = STANDARD) -> str:
    """Return counts by day as SVG."""
    most = max((sum(one.counts) for one in drawn.days), default=0)
    across = days_across(one.day for one in drawn.days)
    on = plane(look, across, from_zero([most, 1.0]), below=BOTTOM + _LEGEND)
    named = zip(look.theme.series, drawn.names, strict=False)
    body = (
        heading(look, drawn.title),
        *axis_up(on, look, drawn.label),
        *(_stack(one, on, look) for one in drawn.days),
        *axis_of_days(on, look),
        *legend(look, [("box", colour, name) for colour, name in named], look.height - 4),
    )
    return chart(drawn.title, drawn.message, body, look=look)


def _stack(one: DayOfCounts, on: Plane, look: Look) -> str:
    slot = (on.right - on.left) / (on.across.high - on.across.low)
    mark = stack(one.counts, on.day(one.day), on, look=look, width=max(1.0, min(36.0, slot * 0.8)))
    return hinted(mark, one.tip, one.href) if mark else ""


def stack(counts: Sequence[int], x: float, on: Plane, *, look: Look, width: float) -> str:
    """Return counts one above the other, around `x`; nothing where all are 0."""
    below, parts = 0, []
    for number, count in enumerate(counts):
        bottom, top = on.y(below), on.y(below + count)
        below += count
        if count:
            gap = 1.0 if bottom - top > 3 else 0.0  # noqa: PLR2004 - pixels; between two parts
            parts.append(
                element(
                    "rect",
                    x=x - width / 2,
                    y=top,
                    width=width,
                    height=max(0.5, bottom - top - gap),
                    fill=look.theme.series[number % len(look.theme.series)],
                )
            )
    return "".join(parts)


def pareto(drawn: Pareto, look: Look = STANDARD) -> str:
    """Return reasons as bars that lie, the largest on top, as tall as they are many.

    Where they are more than the height has room for, the smallest are left out.
    """
    ranked = sorted(drawn.reasons, key=lambda one: (-one.count, one.name))
    total = sum(one.count for one in ranked)
    shown = ranked[: max(1, (look.height - TOP) // _ROW)]
    low = replace(look, height=TOP + _ROW * len(shown) + 4)
    body = (heading(low, drawn.title), *_reasons(shown, total, low))
    return chart(drawn.title, drawn.message, body, look=low)


def _reasons(shown: list[Reason], total: int, look: Look) -> Iterator[str]:
    letters = min(max((len(one.name) for one in shown), default=0), look.width / 2 / LETTER)
    left, room = letters * LETTER + 8, 96
    most, up_to = max((one.count for one in shown), default=0), 0
    for row, one in enumerate(shown):
        y = TOP + row * _ROW
        up_to += one.count
        width = (look.width - left - room) * one.count / most if most else 0.0
        share = say_share(up_to / total if total else None, look.language)
        drawn = (
            text(left - 6, y + 14, fitted(one.name, letters), text_anchor="end"),
            element("rect", x=left, y=y + 3, width=max(0.5, width), height=_ROW - 6, fill=look.theme.series[0]),
            text(left + width + 6, y + 14, f"{say_number(one.count, look.language, digits=7)}  (Σ {share})"),
        )  # fmt: skip
        yield hinted("".join(drawn), one.tip, one.href, stop=True)
