"""A number by subgroup with its interval and how many it is of; too few are told in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

from clic_edge.drawing.look import STANDARD
from clic_edge.drawing.numerals import say_number
from clic_edge.drawing.plane import LETTER, axis_across, fitted, heading, plane, span
from clic_edge.drawing.svg import chart, element, hinted, line, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.drawing.look import Look
    from clic_edge.drawing.plane import Plane

_ROW, _TOP, _BELOW = 24, 44, 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One subgroup."""

    name: str
    n: int
    value: float | None
    lower: float | None = None
    upper: float | None = None
    words: str = ""
    """In place of the numbers where there are too few, e.g. ``too few (n = 4)``."""
    tip: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Subgroups beside the value of all; as tall as it has rows, whatever height is asked for."""

    title: str
    message: str
    label: str = ""
    rows: tuple[Row, ...]
    overall: float | None = None


def forest(drawn: Forest, look: Look = STANDARD) -> str:
    """Return the chart as SVG."""
    tall = replace(look, height=_TOP + _ROW * len(drawn.rows) + _BELOW)
    values = [value for one in drawn.rows for value in (one.value, one.lower, one.upper)]
    longest = min(26, max((len(one.name) for one in drawn.rows), default=0))
    left = int(longest * LETTER) + 56
    on = plane(tall, span(values), span([0.0, 1.0]), left=left, below=_BELOW)
    body = (
        heading(tall, drawn.title),
        text(left - 12, _TOP - 8, "n", text_anchor="end", fill=look.theme.quiet),
        *axis_across(on, tall, drawn.label),
        *_overall(drawn, on, tall),
        *(_row(one, _TOP + _ROW * number, on, look=tall) for number, one in enumerate(drawn.rows)),
    )
    return chart(drawn.title, drawn.message, body, look=tall)


def _overall(drawn: Forest, on: Plane, look: Look) -> Iterator[str]:
    if drawn.overall is not None and isfinite(drawn.overall):
        x = on.x(drawn.overall)
        yield line((x, on.top), (x, on.bottom), stroke=look.theme.quiet, stroke_dasharray="5 3")


def _row(one: Row, y: float, on: Plane, *, look: Look) -> str:
    middle = y + _ROW / 2
    parts = [
        text(0, middle + 4, fitted(one.name, 26)),
        text(
            on.left - 12,
            middle + 4,
            say_number(one.n, look.language, digits=7),
            text_anchor="end",
            fill=look.theme.quiet,
        ),
    ]
    if one.words or one.value is None or not isfinite(one.value):
        words = one.words or say_number(None, look.language)
        parts.append(
            text(on.left + 8, middle + 4, words, fill=look.theme.quiet, font_style="italic")
        )
    else:
        parts += _interval(one, one.value, middle, on=on, look=look)
    return hinted("".join(parts), one.tip, one.href, stop=True)


def _interval(one: Row, value: float, y: float, *, on: Plane, look: Look) -> Iterator[str]:
    colour = look.theme.series[0]
    if one.lower is not None and one.upper is not None and isfinite(one.lower + one.upper):
        low, high = on.x(one.lower), on.x(one.upper)
        yield line((low, y), (high, y), stroke=colour, stroke_width=2)
        for x in (low, high):
            yield line((x, y - 4), (x, y + 4), stroke=colour, stroke_width=2)
    x = on.x(value)
    yield element("rect", x=x - 4, y=y - 4, width=8, height=8, fill=colour)
