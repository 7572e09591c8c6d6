"""Levey-Jennings: repeated measurements of one thing, with one, two and three sd around their mean."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from clic_edge.drawing.look import STANDARD
from clic_edge.drawing.plane import (
    axis_of_days,
    axis_up,
    days_across,
    heading,
    plane,
    span,
)
from clic_edge.drawing.svg import chart, element, hinted, line, path, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from clic_edge.drawing.look import Look
    from clic_edge.drawing.plane import Plane

_ROOM = 34
_STEPS = (-3, -2, -1, 0, 1, 2, 3)
_BOUNDS = (-3, 0, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measurement."""

    day: date
    value: float
    passed: bool = True
    """What failed is drawn as a cross."""
    tip: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeveyJennings:
    """Measurements with mean and standard deviation of those at acceptance."""

    title: str
    message: str
    label: str = ""
    measured: tuple[Measured, ...]
    mean: float
    sd: float
    bound: str = ""
    """What three sd are called, where they are a given tolerance: the lines within stay away."""


def levey_jennings(drawn: LeveyJennings, look: Look = STANDARD) -> str:
    """Return the chart as SVG."""
    sd = drawn.sd if isfinite(drawn.sd) else 0.0
    values = [one.value for one in drawn.measured]
    on = plane(
        look,
        days_across(one.day for one in drawn.measured),
        span([*values, drawn.mean - 3.2 * sd, drawn.mean + 3.2 * sd]),
        right=_ROOM,
    )
    body = (
        heading(look, drawn.title),
        *axis_up(on, look, drawn.label),
        *axis_of_days(on, look),
        *_bands(drawn, sd, on, look=look),
        *_points(drawn, on, look),
    )
    return chart(drawn.title, drawn.message, body, look=look)


def _bands(drawn: LeveyJennings, sd: float, on: Plane, *, look: Look) -> Iterator[str]:
    colours = (look.theme.quiet, look.theme.good, look.theme.warn, look.theme.bad)
    dashes = ("", "1.5 3", "4 3", "7 2")
    steps = _BOUNDS if drawn.bound else _STEPS
    for step in steps if sd > 0 else (0,):
        value = drawn.mean + step * sd
        if not isfinite(value):
            continue
        y, far = on.y(value), abs(step)
        dashed = {"stroke_dasharray": dashes[far]} if far else {}
        yield line((on.left, y), (on.right, y), stroke=colours[far], **dashed)
        yield text(
            look.width,
            y + 4,
            f"{'+' if step > 0 else '−'}{drawn.bound or f'{far} sd'}" if step else "x̄",
            text_anchor="end",
            fill=look.theme.quiet,
        )


def _points(drawn: LeveyJennings, on: Plane, look: Look) -> Iterator[str]:
    kept = [one for one in drawn.measured if isfinite(one.value)]
    places = [(on.day(one.day), on.y(one.value)) for one in kept]
    yield path(places, stroke=look.theme.series[0])
    for one, (x, y) in zip(kept, places, strict=True):
        yield hinted(
            _sign(x, y, passed=one.passed, look=look), one.tip, one.href, stop=not one.passed
        )


def _sign(x: float, y: float, *, passed: bool, look: Look) -> str:
    if passed:
        return element("circle", cx=x, cy=y, r=3, fill=look.theme.series[0])
    cross = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
    return element("path", d=cross, stroke=look.theme.bad, stroke_width=2.5)
