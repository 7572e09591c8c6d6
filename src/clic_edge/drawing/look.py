"""How charts look: colours for pages, for paper and for the dark; sizes; the reader's language.

In a page a colour is the page's own custom property (`web/static/clic-edge.css`), so that a chart
turns dark with it. Series have the colours of Okabe and Ito, darkened or lightened until they stand
out 3:1 from their ground.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum


class Language(StrEnum):
    """Of numbers, days and months."""

    ENGLISH = "en"
    DANISH = "da"


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """What is drawn in which colour, and with which letters."""

    text: str
    quiet: str
    """Text of second rank, and axes."""
    grid: str
    ground: str
    shade: str
    """Behind a period."""
    good: str
    warn: str
    bad: str
    idle: str
    series: tuple[str, ...]
    fonts: str = "system-ui, sans-serif"


LIGHT = Theme(
    text="#17212b",
    quiet="#51606e",
    grid="#dde3e8",
    ground="#ffffff",
    shade="#e4eef5",
    good="#00674b",
    warn="#8a5300",
    bad="#b3261e",
    idle="#51606e",
    series=("#0072b2", "#b85400", "#00795a", "#a3527f", "#56707f", "#7a6c00"),
    fonts="DejaVu Sans, sans-serif",
)
"""For paper, and wherever no page gives the colours."""
DARK = Theme(
    text="#e8edf2",
    quiet="#a9b6c2",
    grid="#2a3640",
    ground="#10161c",
    shade="#1d2f3d",
    good="#4fc79f",
    warn="#f0b45a",
    bad="#ff8a80",
    idle="#a9b6c2",
    series=("#56b4e9", "#e69f00", "#4fc79f", "#e29bc4", "#a9b6c2", "#f0e442"),
    fonts="DejaVu Sans, sans-serif",
)


def _in_page() -> Theme:
    """Return the page's own properties, with the light colours where it has none."""
    plain = {
        one.name: f"var(--{one.name}, {getattr(LIGHT, one.name)})"
        for one in fields(Theme)
        if one.name not in {"series", "fonts"}
    }
    series = (f"var(--series-{n}, {colour})" for n, colour in enumerate(LIGHT.series, 1))
    return Theme(**plain, series=tuple(series))


PAGE = _in_page()
"""Within a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """For whom, and how large, a chart is drawn."""

    language: Language = Language.ENGLISH
    theme: Theme = field(default=PAGE, repr=False)
    width: int = 400
    height: int = 240
    """In pixels; three charts of 400 stand side by side on a screen of 1280."""


STANDARD = Look()
