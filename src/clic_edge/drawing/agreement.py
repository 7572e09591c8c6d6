"""Agreement of two measurements (Bland and Altman, Lancet 1986;327:307-310)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from clic_edge.drawing.look import STANDARD
from clic_edge.drawing.numerals import say_number
from clic_edge.drawing.plane import (
    BOTTOM,
    axis_across,
    axis_up,
    heading,
    plane,
    span,
)
from clic_edge.drawing.svg import chart, element, hinted, line, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.drawing.look import Look
    from clic_edge.drawing.plane import Plane

_LABEL, _ROOM = 14, 56
"""Below, for what lies across; at the right, for the numbers of the lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One thing, measured twice."""

    mean: float
    difference: float
    tip: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlandAltman:
    """Differences over means, with bias and limits of agreement as the caller has found them."""

    title: str
    message: str
    label_across: str = ""
    label: str = ""
    pairs: tuple[Pair, ...]
    bias: float | None = None
    lower: float | None = None
    upper: float | None = None


def bland_altman(drawn: BlandAltman, look: Look = STANDARD) -> str:
    """Return the chart as SVG."""
    differences = [one.difference for one in drawn.pairs]
    on = plane(
        look,
        span(one.mean for one in drawn.pairs),
        span([*differences, drawn.bias, drawn.lower, drawn.upper, 0.0]),
        right=_ROOM,
        below=BOTTOM + _LABEL,
    )
    body = (
        heading(look, drawn.title),
        *axis_up(on, look, drawn.label),
        *axis_across(on, look, drawn.label_across),
        *_lines(drawn, on, look),
        *(_point(one, on, look) for one in drawn.pairs if isfinite(one.mean + one.difference)),
    )
    return chart(drawn.title, drawn.message, body, look=look)


def _point(one: Pair, on: Plane, look: Look) -> str:
    dot = element(
        "circle",
        cx=on.x(one.mean),
        cy=on.y(one.difference),
        r=3,
        fill=look.theme.series[0],
        fill_opacity="0.7",
    )
    return hinted(dot, one.tip, one.href)


def _lines(drawn: BlandAltman, on: Plane, look: Look) -> Iterator[str]:
    for value, colour, dashes in (
        (0.0, look.theme.grid, ""),
        (drawn.bias, look.theme.text, ""),
        (drawn.lower, look.theme.bad, "6 3"),
        (drawn.upper, look.theme.bad, "6 3"),
    ):
        if value is None or not isfinite(value):
            continue
        y = on.y(value)
        dashed = {"stroke_dasharray": dashes} if dashes else {}
        yield line((on.left, y), (on.right, y), stroke=colour, stroke_width=1.4, **dashed)
        if colour != look.theme.grid:
            said = say_number(value, look.language)
            yield text(look.width, y + 4, said, text_anchor="end")
