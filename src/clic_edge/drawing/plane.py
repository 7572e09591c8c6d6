"""Where numbers and days lie on the picture, and the axes that say so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING

from clic_edge.drawing.numerals import say_day, say_fixed, say_month
from clic_edge.drawing.svg import element, line, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clic_edge.drawing.look import Look

_HUGE, _TINY = 1e300, 1e-290
_BETWEEN_DAYS = 56.0
"""Pixels between two days that an axis names."""
_MONTH, _YEAR = 28, 365
LETTER = 6.2
"""Pixels that a letter is wide, on average."""
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 38, 24
"""Around the plane, for title and axes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From a number to a larger one."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a value lies from 0 to 1; what is outside lies at the edge."""
        # Halves, because the distance of two huge numbers is no number.
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return min(1.0, max(0.0, share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """The part of a picture where the numbers are."""

    left: float
    top: float
    right: float
    bottom: float
    across: Span
    up: Span

    def x(self, value: float) -> float:
        """Return pixels from the picture's left."""
        return self.left + self.across.place(value) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return pixels from the picture's top."""
        return self.bottom - self.up.place(value) * (self.bottom - self.top)

    def day(self, day: date) -> float:
        """Return pixels from the picture's left, where days lie across."""
        return self.x(day.toordinal())


def span(values: Iterable[float | None], *, margin: float = 0.06) -> Span:
    """Return a span that holds every finite value, with a margin; also of one value, or none."""
    kept = [min(_HUGE, max(-_HUGE, one)) for one in values if one is not None and isfinite(one)]
    low, high = (min(kept), max(kept)) if kept else (0.0, 1.0)
    room = (high - low) * margin
    if high - low <= max(abs(low) * 1e-9, abs(high) * 1e-9, _TINY):
        room = abs(low) / 10 if abs(low) > _TINY else 1.0
    return Span(low=low - room, high=high + room)


def from_zero(values: Iterable[float]) -> Span:
    """Return the span from zero to somewhat more than the largest finite value."""
    kept = [min(_HUGE, one) for one in values if isfinite(one)]
    return Span(low=0.0, high=max([*kept, 1e-3]) * 1.05)


def days_across(days: Iterable[date]) -> Span:
    """Return the span of days, with half a day around."""
    numbers = [one.toordinal() for one in days] or [date(1970, 1, 1).toordinal()]
    return Span(low=min(numbers) - 0.5, high=max(numbers) + 0.5)


def plane(
    look: Look,
    across: Span,
    up: Span,
    *,
    left: int = LEFT,
    right: int = RIGHT,
    below: int = BOTTOM,
) -> Plane:
    """Return the plane within a picture's margins."""
    return Plane(
        left=left,
        top=TOP,
        right=max(left + 1, look.width - right),
        bottom=max(TOP + 1, look.height - below),
        across=across,
        up=up,
    )


def ticks(over: Span, most: int) -> tuple[tuple[float, ...], int]:
    """Return round numbers within a span, at most about so many, and the decimals they need."""
    rough = (over.high / most) - (over.low / most)
    power = floor(log10(rough))
    factor = rough / 10.0**power
    nice = next(one for one in (1.0, 2.0, 5.0, 10.0) if factor <= one * 1.0001)
    step = nice * 10.0**power
    first, last = ceil(over.low / step - 1e-9), floor(over.high / step + 1e-9)
    decimals = max(0, -power - (nice == 10.0))  # noqa: PLR2004 - ten of a power are one of the next
    if last - first > 2 * most:  # the numbers differ in digits that floats have not
        return (over.low, over.high), 0
    return tuple(number * step for number in range(first, last + 1)), decimals


def heading(look: Look, title: str) -> str:
    """Return a chart's title, at its top, as far as there is room."""
    return text(0, 14, fitted(title, look.width / 7.4), font_size=13, font_weight="700")


def fitted(words: str, letters: float) -> str:
    """Return words cut to so many letters."""
    return words if len(words) <= letters else f"{words[: max(1, int(letters) - 1)]}…"


def axis_up(on: Plane, look: Look, label: str = "") -> Iterator[str]:
    """Yield lines and numbers at the left, and what they are of."""
    marks, decimals = ticks(on.up, max(2, round((on.bottom - on.top) / 36)))
    for value in marks:
        y = on.y(value)
        yield line((on.left, y), (on.right, y), stroke=look.theme.grid)
        yield text(
            on.left - 6,
            y + 4,
            say_fixed(value, look.language, decimals),
            text_anchor="end",
            fill=look.theme.quiet,
        )
    if label:
        yield text(0, on.top - 10, label, fill=look.theme.quiet)


def axis_across(on: Plane, look: Look, label: str = "") -> Iterator[str]:
    """Yield numbers below, and what they are of."""
    marks, decimals = ticks(on.across, max(2, round((on.right - on.left) / 70)))
    yield _floor(on, look)
    for value in marks:
        yield _below(on, on.x(value), say_fixed(value, look.language, decimals), look=look)
    if label:
        middle = (on.left + on.right) / 2
        yield text(middle, on.bottom + 30, label, text_anchor="middle", fill=look.theme.quiet)


def axis_of_days(on: Plane, look: Look) -> Iterator[str]:
    """Yield days or months below."""
    first, last = ceil(on.across.low), floor(on.across.high)
    yield _floor(on, look)
    most = max(2.0, (on.right - on.left) / _BETWEEN_DAYS)
    for day, words in _named_days(first, last, most, look=look):
        yield _below(on, on.day(day), words, look=look)


def _named_days(first: int, last: int, most: float, *, look: Look) -> Iterator[tuple[date, str]]:
    step = (last - first + 1) / most
    if step < _MONTH:
        every = next(one for one in (1, 2, 7, 14, _MONTH) if one >= step)
        for number in range(first, last + 1, every):
            day = date.fromordinal(number)
            yield day, say_day(day, look.language)
        return
    every = max(1, round(step / 30)) if step < _YEAR / 2 else 12 * ceil(step / _YEAR)
    day = date.fromordinal(first)
    while day.toordinal() <= last:
        months = day.year * 12 + day.month - 1
        if day.day == 1 and months % every == 0:
            is_year = every >= 12 or day.month == 1  # noqa: PLR2004 - months
            yield day, str(day.year) if is_year else say_month(day, look.language)
        if (day.year, day.month) >= (date.max.year, date.max.month):
            return
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _floor(on: Plane, look: Look) -> str:
    return line((on.left, on.bottom), (on.right, on.bottom), stroke=look.theme.quiet)


def _below(on: Plane, x: float, words: str, *, look: Look) -> str:
    tick = line((x, on.bottom), (x, on.bottom + 4), stroke=look.theme.quiet)
    kept = min(on.right - len(words) * 2.6, max(on.left, x))
    said = text(kept, on.bottom + 16, words, text_anchor="middle", fill=look.theme.quiet)
    return tick + said


def legend(look: Look, entries: Iterable[tuple[str, str, str]], y: float) -> Iterator[str]:
    """Yield names with their signs in a row: a line, a dashed line, or a box, each in its colour."""
    x = 0.0
    for sign, colour, words in entries:
        if sign == "box":
            yield element("rect", x=x + 4, y=y - 9, width=10, height=10, fill=colour)
        elif sign == "point":
            yield element("circle", cx=x + 9, cy=y - 4, r=4, fill=colour)
        else:
            dashes = {"stroke_dasharray": "5 3"} if sign == "dashes" else {}
            yield line((x, y - 4), (x + 18, y - 4), stroke=colour, stroke_width=2, **dashes)
        said = fitted(words, (look.width - x - 22) / LETTER)
        yield text(x + 22, y, said, fill=look.theme.quiet)
        x += 34 + LETTER * len(words)
