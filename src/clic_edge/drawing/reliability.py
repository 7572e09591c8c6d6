"""Calibration: how often it was so, over how probable the model said it was."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from clic_edge.drawing.look import STANDARD
from clic_edge.drawing.plane import BOTTOM, Span, axis_across, axis_up, heading, plane
from clic_edge.drawing.svg import chart, element, hinted, line, path, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.drawing.look import Look
    from clic_edge.drawing.plane import Plane

_LABEL = 14
_UNIT = Span(low=0.0, high=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Predictions of about the same probability."""

    predicted: float
    observed: float
    lower: float
    upper: float
    """Interval of `observed`."""
    n: int
    tip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """A calibration curve beside the line on which a calibrated model lies."""

    title: str
    message: str
    label_across: str = ""
    label: str = ""
    bins: tuple[Bin, ...]


def reliability(drawn: Reliability, look: Look = STANDARD) -> str:
    """Return the chart as SVG."""
    on = plane(look, _UNIT, _UNIT, below=BOTTOM + _LABEL)
    kept = [one for one in drawn.bins if isfinite(one.predicted + one.observed)]
    places = [(on.x(one.predicted), on.y(one.observed)) for one in kept]
    body = (
        heading(look, drawn.title),
        *axis_up(on, look, drawn.label),
        *axis_across(on, look, drawn.label_across),
        line((on.left, on.bottom), (on.right, on.top), stroke=look.theme.quiet, stroke_dasharray="5 4"),
        path(places, stroke=look.theme.series[0], stroke_width=1.5),
        *(part for one in kept for part in _bin(one, on, look)),
    )  # fmt: skip
    return chart(drawn.title, drawn.message, body, look=look)


def _bin(one: Bin, on: Plane, look: Look) -> Iterator[str]:
    x, colour = on.x(one.predicted), look.theme.series[0]
    interval = ""
    if isfinite(one.lower + one.upper):
        low, high = on.y(one.lower), on.y(one.upper)
        ends = "".join(
            line((x - 4, y), (x + 4, y), stroke=colour, stroke_width=1.5) for y in (low, high)
        )
        interval = ends + line((x, low), (x, high), stroke=colour, stroke_width=1.5)
    dot = element("circle", cx=x, cy=on.y(one.observed), r=3.5, fill=colour)
    yield hinted(interval + dot, one.tip)
    side = -6 if one.predicted > 0.9 else 6  # noqa: PLR2004 - near the right edge
    anchor = "end" if side < 0 else "start"
    yield text(
        x + side, on.y(one.observed) + 14, str(one.n), text_anchor=anchor, fill=look.theme.quiet
    )
