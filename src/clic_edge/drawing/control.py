"""Control charts: a number or a watched sum by day, with its limits, baseline, alarms and notes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING

from clic_edge.drawing.look import STANDARD
from clic_edge.drawing.plane import (
    BOTTOM,
    LETTER,
    axis_of_days,
    axis_up,
    days_across,
    fitted,
    heading,
    legend,
    plane,
    span,
)
from clic_edge.drawing.svg import chart, element, hinted, line, path, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from clic_edge.drawing.look import Look
    from clic_edge.drawing.plane import Plane

_LEGEND = 18
_RADIUS = 2.2
_ROW = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One day."""

    day: date
    value: float | None
    """None, or NaN, for a day without studies: there the line has a gap."""
    lower: float | None = None
    upper: float | None = None
    """Limits that hold for this day alone, as those of a share of few studies."""
    beyond: bool = False
    """Outside the limits: drawn as a ring in the colour of alarms, and a stop of the Tab key."""
    tip: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A line of points, in the order of their days."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit for every day, or the line in the middle."""

    value: float
    name: str
    is_centre: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Some days in a row."""

    first: date
    last: date
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened on a day."""

    day: date
    name: str
    tip: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChart:
    """A number by day with limits of its days; or a CUSUM's sum with its threshold as a limit."""

    title: str
    message: str
    label: str = ""
    """What is charted, with its unit."""
    traces: tuple[Trace, ...]
    limits: tuple[Limit, ...] = ()
    limits_name: str = ""
    """What the limits of the points are called."""
    baseline: Period | None = None
    alarms: tuple[Mark, ...] = ()
    """Triangles above the days on which one opened."""
    notes: tuple[Mark, ...] = ()
    """Lines from top to bottom, as of a new software version."""
    provisional: str = ""
    """In words, where the baseline is too small; the limits are then dotted."""
    first: date | None = None
    last: date | None = None
    """Of the axis, where it shall be longer than the points."""


def control_chart(drawn: ControlChart, look: Look = STANDARD) -> str:
    """Return the chart as SVG."""
    on = plane(
        look, days_across(_days(drawn)), span(_values(drawn)), below=BOTTOM + _LEGEND + _rows(drawn)
    )
    body = (
        heading(look, drawn.title),
        *_baseline(drawn, on, look),
        *axis_up(on, look, drawn.label),
        *axis_of_days(on, look),
        *_limits(drawn, on, look),
        *_baseline_name(drawn, on, look),
        *_notes(drawn, on, look),
        *(part for n, one in enumerate(drawn.traces) for part in _trace(one, n, on, look=look)),
        *_alarms(drawn, on, look),
        *_below(drawn, look),
    )
    return chart(drawn.title, drawn.message, body, look=look)


def _rows(drawn: ControlChart) -> int:
    return _ROW + 4 if drawn.provisional else 0


def _days(drawn: ControlChart) -> list[date]:
    days = [point.day for trace in drawn.traces for point in trace.points]
    days += [one for one in (drawn.first, drawn.last) if one]
    days += [one.day for one in drawn.alarms]
    return days + ([drawn.baseline.first, drawn.baseline.last] if drawn.baseline else [])


def _values(drawn: ControlChart) -> list[float | None]:
    points = [point for trace in drawn.traces for point in trace.points]
    return [
        *(value for one in points for value in (one.value, one.lower, one.upper)),
        *(one.value for one in drawn.limits),
    ]


def _baseline(drawn: ControlChart, on: Plane, look: Look) -> Iterator[str]:
    if one := drawn.baseline:
        left, right = on.day(one.first), on.day(one.last)
        shade = element(
            "rect",
            x=left,
            y=on.top,
            width=max(1.0, right - left),
            height=on.bottom - on.top,
            fill=look.theme.shade,
        )
        yield hinted(shade, one.name)


def _baseline_name(drawn: ControlChart, on: Plane, look: Look) -> Iterator[str]:
    """Yield the baseline's name, on a ground of its own because a limit may run through it."""
    if one := drawn.baseline:
        left = on.day(one.first)
        yield text(
            left + 4,
            on.top + 10,
            fitted(one.name, (on.right - left) / LETTER),
            fill=look.theme.quiet,
            stroke=look.theme.shade,
            stroke_width=4,
            paint_order="stroke",
        )


def _limits(drawn: ControlChart, on: Plane, look: Look) -> Iterator[str]:
    for one in drawn.limits:
        if not isfinite(one.value):
            continue
        drawn_as = _centre(look) if one.is_centre else _bound(drawn, look)
        y = on.y(one.value)
        yield hinted(line((on.left, y), (on.right, y), **drawn_as), one.name)
    for trace in drawn.traces:
        for side in ("lower", "upper"):
            values = [(point.day, getattr(point, side)) for point in trace.points]
            for piece in _pieces(values):
                yield path(_steps(piece, on), **_bound(drawn, look))


def _centre(look: Look) -> dict[str, str | float]:
    return {"stroke": look.theme.quiet, "stroke_width": 1.0}


def _bound(drawn: ControlChart, look: Look) -> dict[str, str | float]:
    dashes = "1.5 3" if drawn.provisional else "6 3"
    return {"stroke": look.theme.bad, "stroke_width": 1.4, "stroke_dasharray": dashes}


def _steps(piece: Sequence[tuple[date, float]], on: Plane) -> Iterator[tuple[float, float]]:
    half = (on.right - on.left) / (on.across.high - on.across.low) / 2
    for day, value in piece:
        yield on.day(day) - half, on.y(value)
        yield on.day(day) + half, on.y(value)


def _pieces(values: Iterable[tuple[date, float | None]]) -> Iterator[list[tuple[date, float]]]:
    """Yield runs of days without a gap."""
    piece: list[tuple[date, float]] = []
    for day, value in values:
        is_there = value is not None and isfinite(value)
        if piece and (not is_there or (day - piece[-1][0]).days > 1):
            yield piece
            piece = []
        if value is not None and is_there:
            piece.append((day, value))
    if piece:
        yield piece


def _trace(trace: Trace, number: int, on: Plane, *, look: Look) -> Iterator[str]:
    colour = look.theme.series[number % len(look.theme.series)]
    for piece in _pieces((one.day, one.value) for one in trace.points):
        yield path(
            ((on.day(day), on.y(value)) for day, value in piece), stroke=colour, stroke_width=1.5
        )
    for one in trace.points:
        if one.value is not None and isfinite(one.value):
            dot = _dot(one, on.day(one.day), on.y(one.value), colour=colour, look=look)
            yield hinted(dot, one.tip, one.href, stop=one.beyond)


def _dot(one: Point, x: float, y: float, *, colour: str, look: Look) -> str:
    if one.beyond:
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{look.theme.ground}" '
            f'stroke="{look.theme.bad}" stroke-width="2"/>'
        )
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}" fill="{colour}"/>'


def _notes(drawn: ControlChart, on: Plane, look: Look) -> Iterator[str]:
    below = 1 if drawn.baseline else 0
    rows = [below + one for one in _rows_of(drawn.notes, on)]
    for one, row in zip(drawn.notes, rows, strict=True):
        x, y = on.day(one.day), on.top + 10 + row * _ROW
        wire = line((x, on.top), (x, on.bottom), stroke=look.theme.idle, stroke_dasharray="2 2")
        is_right = x > (on.left + on.right) / 2
        room = (x - on.left if is_right else on.right - x) / LETTER
        said = text(
            x + (-4 if is_right else 4),
            y,
            fitted(one.name, room),
            text_anchor="end" if is_right else "start",
            fill=look.theme.quiet,
        )
        yield hinted(wire + said, one.tip or one.name, one.href, stop=True)


def _rows_of(notes: Sequence[Mark], on: Plane) -> list[int]:
    """Return a row for each note: those whose days lie close together stand in different rows."""
    rows = [0] * len(notes)
    for index, (one, other) in enumerate(pairwise(notes), 1):
        if abs(on.day(other.day) - on.day(one.day)) < (on.right - on.left) / 2:
            rows[index] = (rows[index - 1] + 1) % 3
    return rows


def _alarms(drawn: ControlChart, on: Plane, look: Look) -> Iterator[str]:
    for one in drawn.alarms:
        x, y = on.day(one.day), on.top - 1
        triangle = element(
            "path", d=f"M{x - 6:.1f} {y - 10}H{x + 6:.1f}L{x:.1f} {y}Z", fill=look.theme.bad
        )
        wire = line((x, on.top), (x, on.bottom), stroke=look.theme.bad, stroke_width=0.8)
        yield hinted(triangle + wire, one.tip or one.name, one.href, stop=True)


def _below(drawn: ControlChart, look: Look) -> Iterator[str]:
    names = [
        ("line", look.theme.series[number % len(look.theme.series)], trace.name)
        for number, trace in enumerate(drawn.traces)
        if trace.name
    ]
    bounds = [one.name for one in drawn.limits if not one.is_centre] + [drawn.limits_name]
    names += [("dashes", look.theme.bad, one) for one in dict.fromkeys(bounds) if one]
    names += [
        ("line", look.theme.quiet, one.name) for one in drawn.limits if one.is_centre and one.name
    ]
    y = look.height - 4
    yield from legend(look, names, y - _rows(drawn))
    if drawn.provisional:
        yield text(0, y, f"◌ {drawn.provisional}", fill=look.theme.warn, font_weight="700")
