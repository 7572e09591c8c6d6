"""Elements of SVG as text. What comes from outside is escaped here, and nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.drawing.look import Look

SMALL = 11
"""Font size of axes and notes, in pixels."""
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAMED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def escaped(words: str) -> str:
    """Return words as they stand in SVG; letters that XML has not are replaced."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", words).translate(_NAMED)


def element(name: str, *inside: str, **attributes: str | float) -> str:
    """Return an element; ``stroke_width`` is written ``stroke-width``, numbers to a tenth."""
    said = "".join(
        f' {key.strip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{said}>{''.join(inside)}</{name}>" if inside else f"<{name}{said}/>"


def _attribute(value: str | float) -> str:
    return escaped(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, words: str, **attributes: str | float) -> str:
    """Return words at a place; they begin there, unless ``text_anchor`` says otherwise."""
    return element("text", escaped(words), x=x, y=y, **attributes)


def line(start: tuple[float, float], end: tuple[float, float], **attributes: str | float) -> str:
    """Return a straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], **attributes)


def path(points: Iterable[tuple[float, float]], **attributes: str | float) -> str:
    """Return straight lines from point to point."""
    drawn = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=f"M{drawn}", fill="none", **attributes) if drawn else ""


def hinted(mark: str, tip: str, href: str = "", *, stop: bool = False) -> str:
    """Return a mark that tells `tip` under the pointer and leads to `href`.

    A link is a stop of the Tab key only where `stop` is true.
    """
    said = element("title", escaped(tip)) if tip else ""
    if href:
        order = {} if stop else {"tabindex": "-1"}
        return element("a", said, mark, href=href, aria_label=tip or href, **order)
    return element("g", said, mark) if said else mark


def chart(title: str, message: str, body: Iterable[str], *, look: Look) -> str:
    """Return the whole picture, that says its title and message to who cannot see it.

    With links inside it is a group, because a picture's parts are not announced.
    """
    drawn = "".join(body)
    return element(
        "svg",
        element("title", escaped(title)),
        element("desc", escaped(message)),
        drawn,
        xmlns="http://www.w3.org/2000/svg",
        class_="chart",
        role="group" if "<a " in drawn else "img",
        aria_label=f"{title}. {message}" if message else title,
        viewBox=f"0 0 {look.width} {look.height}",
        width=look.width,
        height=look.height,
        font_family=look.theme.fonts,
        font_size=SMALL,
        fill=look.theme.text,
    )
