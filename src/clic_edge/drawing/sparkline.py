"""A line as small as a word."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from clic_edge.drawing.look import PAGE, Look
from clic_edge.drawing.plane import span
from clic_edge.drawing.svg import chart, element, path

_EDGE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """Numbers in their order; the last has a dot."""

    title: str
    message: str = ""
    values: tuple[float | None, ...]
    is_bad: bool = False
    """The dot is then a ring in the colour of alarms."""


SMALL = Look(theme=PAGE, width=120, height=28)


def sparkline(drawn: Sparkline, look: Look = SMALL) -> str:
    """Return the line as SVG; where a number is missing, it has a gap."""
    up = span(drawn.values, margin=0.0)
    step = (look.width - 2 * _EDGE) / max(1, len(drawn.values) - 1)
    pieces: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(drawn.values):
        if value is None or not isfinite(value):
            pieces.append([])
        else:
            y = look.height - _EDGE - up.place(value) * (look.height - 2 * _EDGE)
            pieces[-1].append((_EDGE + index * step, y))
    body = [path(one, stroke=look.theme.series[0], stroke_width=1.5) for one in pieces]
    if last := next((one[-1] for one in reversed(pieces) if one), None):
        fill = look.theme.ground if drawn.is_bad else look.theme.series[0]
        edge = look.theme.bad if drawn.is_bad else look.theme.series[0]
        body.append(
            element("circle", cx=last[0], cy=last[1], r=2.5, fill=fill, stroke=edge, stroke_width=1.5)
        )  # fmt: skip
    return chart(drawn.title, drawn.message, body, look=look)
