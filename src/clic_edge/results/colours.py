"""The colour of each segment, the same in every kind of object."""

from __future__ import annotations

COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
"""Okabe and Ito's palette, which the colour-blind can tell apart too; used in turn."""


def colour_of(number: int) -> tuple[int, int, int]:
    """Return the colour of the segment with a number."""
    return COLOURS[(number - 1) % len(COLOURS)]
