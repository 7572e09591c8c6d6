"""Two groups of numbers in one picture: the one filled, the other an outline."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from clic_edge.drawing.look import STANDARD
from clic_edge.drawing.plane import (
    BOTTOM,
    Span,
    axis_across,
    axis_up,
    from_zero,
    heading,
    legend,
    plane,
    span,
)
from clic_edge.drawing.svg import chart, element, path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.drawing.look import Look
    from clic_edge.drawing.plane import Plane

_LEGEND, _LABEL = 18, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Numbers, with what they are called; how many they are belongs in the name."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How one group, or two, lie over the same bins; by share, so that sizes may differ."""

    title: str
    message: str
    label: str = ""
    share_label: str = "%"
    groups: tuple[Group, ...]
    """The first is filled, the others are outlines."""
    bins: int = 24


def histogram(drawn: Histogram, look: Look = STANDARD) -> str:
    """Return the chart as SVG; what is no number is left out."""
    across = span((value for one in drawn.groups for value in one.values), margin=0.0)
    shares = [_shares(one.values, across, max(1, drawn.bins)) for one in drawn.groups]
    most = max((max(one) for one in shares), default=0.0)
    on = plane(look, across, from_zero([most * 100]), below=BOTTOM + _LEGEND + _LABEL)
    names = [
        ("line" if number else "box", look.theme.series[number % 6], one.name)
        for number, one in enumerate(drawn.groups)
    ]
    body = (
        heading(look, drawn.title),
        *axis_up(on, look, drawn.share_label),
        *(_steps(one, number, on, look=look) for number, one in enumerate(shares)),
        *axis_across(on, look, drawn.label),
        *legend(look, names, look.height - 4),
    )
    return chart(drawn.title, drawn.message, body, look=look)


def _shares(values: tuple[float, ...], across: Span, bins: int) -> list[float]:
    counts = [0] * bins
    kept = [one for one in values if isfinite(one)]
    for one in kept:
        counts[min(bins - 1, int(across.place(one) * bins))] += 1
    return [count / len(kept) if kept else 0.0 for count in counts]


def _steps(shares: list[float], number: int, on: Plane, *, look: Look) -> str:
    colour = look.theme.series[number % len(look.theme.series)]
    places = list(_outline(shares, on))
    if number == 0:
        corners = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        return element("path", d=f"M{corners}Z", fill=colour, fill_opacity="0.45")
    return path(places, stroke=colour, stroke_width=2)


def _outline(shares: list[float], on: Plane) -> Iterator[tuple[float, float]]:
    width = (on.right - on.left) / len(shares)
    yield on.left, on.bottom
    for index, share in enumerate(shares):
        y = on.y(share * 100)
        yield on.left + index * width, y
        yield on.left + (index + 1) * width, y
    yield on.right, on.bottom
