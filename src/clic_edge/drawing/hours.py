"""Counts by hour, stacked by what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from clic_edge.drawing.bars import stack
from clic_edge.drawing.look import STANDARD, Look
from clic_edge.drawing.plane import BOTTOM, Span, axis_up, from_zero, heading, legend, plane
from clic_edge.drawing.svg import chart, hinted, line, text

_LEGEND: Final = 18
_LEAST: Final = 3.0
"""As high as the axis is at least, so that it names no half of a case."""
_BETWEEN_NAMES: Final = 42.0
"""Pixels between two hours that the axis names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourOfCounts:
    """An hour's counts, one for each name of the chart."""

    name: str
    """As it stands below, e.g. ``13:00``."""
    counts: tuple[int, ...]
    tip: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyBars:
    """Counts by hour."""

    title: str
    message: str
    label: str = ""
    names: tuple[str, ...]
    """From the bottom upward; six at most have a colour of their own."""
    hours: tuple[HourOfCounts, ...]
    """One behind the other, without a gap."""


def hourly_bars(drawn: HourlyBars, look: Look = STANDARD) -> str:
    """Return counts by hour as SVG."""
    most = max((sum(one.counts) for one in drawn.hours), default=0)
    across = Span(low=-0.5, high=max(1, len(drawn.hours)) - 0.5)
    on = plane(look, across, from_zero([most, _LEAST]), below=BOTTOM + _LEGEND)
    slot = (on.right - on.left) / max(1, len(drawn.hours))
    step = max(1, -int(-_BETWEEN_NAMES // slot))
    body = [heading(look, drawn.title), *axis_up(on, look, drawn.label)]
    for index, one in enumerate(drawn.hours):
        x = on.x(index)
        if mark := stack(one.counts, x, on, look=look, width=max(1.0, min(36.0, slot * 0.8))):
            body.append(hinted(mark, one.tip, one.href, stop=True))
        if index % step == 0:
            name = text(x, on.bottom + 14, one.name, text_anchor="middle", fill=look.theme.quiet)
            body.append(name)
    body.append(line((on.left, on.bottom), (on.right, on.bottom), stroke=look.theme.quiet))
    named = zip(look.theme.series, drawn.names, strict=False)
    body += legend(look, [("box", colour, name) for colour, name in named], look.height - 4)
    return chart(drawn.title, drawn.message, body, look=look)
