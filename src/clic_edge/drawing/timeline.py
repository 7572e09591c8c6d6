"""What a case went through: a bar for each stage, from its beginning to its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clic_edge.drawing.look import STANDARD
from clic_edge.drawing.plane import LETTER, Span, axis_across, fitted, from_zero, heading, plane
from clic_edge.drawing.svg import chart, element, hinted, text

if TYPE_CHECKING:
    from clic_edge.drawing.look import Look
    from clic_edge.drawing.plane import Plane

_ROW, _TOP, _BELOW = 22, 30, 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage, in seconds after the beginning of the first."""

    name: str
    begins: float
    seconds: float
    words: str = ""
    """How long it took, for people."""
    failed: bool = False
    """Drawn as an outline with a cross."""
    waiting: bool = False
    """Nothing was done meanwhile: drawn in the colour of what idles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The stages of a case, one below the other; as tall as it has stages."""

    title: str
    message: str
    label: str = "s"
    stages: tuple[Stage, ...]


def timeline(drawn: Timeline, look: Look = STANDARD) -> str:
    """Return the stages as SVG."""
    tall = replace(look, height=_TOP + _ROW * len(drawn.stages) + _BELOW)
    ends = [one.begins + one.seconds for one in drawn.stages]
    longest = min(26, max((len(one.name) for one in drawn.stages), default=0))
    across = from_zero(ends)
    on = plane(tall, across, Span(low=0.0, high=1.0), left=int(longest * LETTER) + 12, below=_BELOW)
    body = (
        heading(tall, drawn.title),
        *axis_across(on, tall, drawn.label),
        *(_stage(one, _TOP + _ROW * row, on, look=tall) for row, one in enumerate(drawn.stages)),
    )
    return chart(drawn.title, drawn.message, body, look=tall)


def _stage(one: Stage, y: float, on: Plane, *, look: Look) -> str:
    left, right = on.x(one.begins), on.x(one.begins + one.seconds)
    colour = look.theme.idle if one.waiting else look.theme.series[0]
    width = max(2.0, right - left)
    bar = element("rect", x=left, y=y + 4, width=width, height=_ROW - 8, fill=colour)
    if one.failed:
        bar = element(
            "rect",
            x=left,
            y=y + 4,
            width=width,
            height=_ROW - 8,
            fill="none",
            stroke=look.theme.bad,
            stroke_width=2,
        ) + text(left + width + 3, y + 15, "✕", fill=look.theme.bad)
    is_late = left + width + LETTER * len(one.words) + 18 > look.width
    said = text(
        left - 6 if is_late else left + width + (18 if one.failed else 6),
        y + 15,
        one.words,
        text_anchor="end" if is_late else "start",
        fill=look.theme.quiet,
    )
    return hinted(text(0, y + 15, fitted(one.name, 26)) + bar + said, one.words)
