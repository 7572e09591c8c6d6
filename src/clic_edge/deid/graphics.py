"""What is left of graphics (PS3.15 E.3.3): areas and numbers stay, strokes that may be letters go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

from clic_edge.deid.icc import without_text
from clic_edge.deid.values import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clic_edge.deid.part10 import Element

ICC_PROFILE = 0x00282000
_CURVES, _OVERLAYS = 0x50, 0x60
_ROWS, _COLUMNS, _FRAMES = 0x0010, 0x0011, 0x0015
_THINNEST_PX = 24
_SHARE_OF_SIDE = 16
_LONGEST_COUNT = 12
"""Characters of an integer string (PS3.5 6.2)."""


def is_graphics(tag: int) -> bool:
    """Whether a tag is of an overlay (60xx) or curve (50xx)."""
    return tag >> 24 in {_CURVES, _OVERLAYS} and not tag >> 16 & 1


def is_sound(tag: int) -> bool:
    """Whether a tag of a curve group is of its audio (50xx,2000-200E)."""
    return tag >> 24 == _CURVES and 0x2000 <= tag & 0xFFFF <= 0x200F  # noqa: PLR2004 - elements


def cleaned_bytes(element: Element, siblings: Iterable[Element], *, little: bool) -> bytes | None:
    """Return Overlay Data without strokes, ICC Profile without text, Curve Data if it has none."""
    if element.tag == ICC_PROFILE:
        return without_text(bytes(element.value))
    if element.tag >> 24 == _OVERLAYS:
        return _overlay_areas(element, siblings, little=little)
    value = bytes(element.value)
    return None if WORDS.search(value) else value


def _overlay_areas(overlay: Element, siblings: Iterable[Element], *, little: bool) -> bytes | None:
    order: Literal["little", "big"] = "little" if little else "big"
    group = overlay.tag & 0xFFFF0000
    sizes = {e.tag - group: bytes(e.value) for e in siblings if e.tag & 0xFFFF0000 == group}
    frames = sizes.get(_FRAMES, b"1").strip(b" \0")
    if not frames.isdigit() or len(frames) > _LONGEST_COUNT or (overlay.vr == "OW" and not little):
        return None
    return without_strokes(
        bytes(overlay.value),
        rows=int.from_bytes(sizes.get(_ROWS, b""), order),
        columns=int.from_bytes(sizes.get(_COLUMNS, b""), order),
        frames=int(frames),
    )


def without_strokes(overlay: bytes, *, rows: int, columns: int, frames: int) -> bytes | None:
    """Return Overlay Data (60xx,3000), one bit a pixel, with everything thinner than an area cleared.

    An area is at least 24 pixels and 1/16 of the overlay's shorter side thick, so that letters,
    arrows and outlines go and filled regions stay, with their thin parts cut off. None where the
    bytes are not `frames` frames of `rows` x `columns`.
    """
    pixels = rows * columns * frames
    if not pixels or len(overlay) not in {(pixels + 7) // 8, (pixels + 15) // 16 * 2}:
        return None
    bits = np.unpackbits(np.frombuffer(overlay, np.uint8), count=pixels, bitorder="little")
    size = max(_THINNEST_PX, min(rows, columns) // _SHARE_OF_SIDE)
    window = (1, size, size)
    planes = bits.reshape(frames, rows, columns)
    # An opening: what no window of ones covers is cleared; beyond the edge there is nothing.
    areas = ndimage.grey_opening(planes, size=window, mode="constant", cval=0)
    return np.packbits(areas, bitorder="little").tobytes().ljust(len(overlay), b"\0")
