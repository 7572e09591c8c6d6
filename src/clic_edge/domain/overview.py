"""A slide from afar: for finding its tissue, and for showing what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from clic_edge.domain.slide import Level

FINER = 0.02
"""A level may be coarser than what is asked for by this share: spacings are rounded in headers."""
_BLOCK = 256
"""Most pixels of the picture that are read at once, along each axis."""
_AT_ONCE = 4096
"""Most pixels of the level, likewise: bounds the memory where a slide has one level only."""


def fine_enough(levels: Sequence[Level], spacing_mm: float) -> Level:
    """Return the coarsest level that shows as much as `spacing_mm`; `levels` begin at the finest.

    Raises Refusal ``slide-too-coarse`` where none does.
    """
    fine = [one for one in levels if max(one.matrix.spacing_mm) <= spacing_mm * (1 + FINER)]
    if not fine:
        finest = max(levels[0].matrix.spacing_mm)
        raise Refusal(
            "slide-too-coarse",
            f"The finest level shows {finest * 1000:.3g} µm a pixel, this model needs"
            f" {spacing_mm * 1000:.3g} µm.",
        )
    return fine[-1]


def overview(levels: Sequence[Level], spacing_mm: float) -> NDArray[np.uint8]:
    """Return the whole slide at about `spacing_mm` as (rows, columns, 3), read block by block.

    Pixel (i, j) shows what lies from i and j to i + 1 and j + 1 times `spacing_mm` behind the
    edges of the level; a last pixel may be cut off. Raises as `fine_enough`, and as `TileReader`.
    """
    level = fine_enough(levels, spacing_mm)
    matrix = level.matrix
    down, across = (spacing_mm / step for step in matrix.spacing_mm)
    shape = max(1, round(matrix.rows / down)), max(1, round(matrix.columns / across))
    picture = np.empty((*shape, 3), np.uint8)
    size = max(1, min(_BLOCK, int(_AT_ONCE / max(down, across))))
    for top in range(0, shape[0], size):
        for left in range(0, shape[1], size):
            bottom, right = min(top + size, shape[0]), min(left + size, shape[1])
            first, last = round(top * down), round(bottom * down)
            begin, end = round(left * across), round(right * across)
            block = level.tiles(
                begin, first, columns=max(1, end - begin), rows=max(1, last - first)
            )
            picture[top:bottom, left:right] = resized(block, (bottom - top, right - left))
    return picture


def resized(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the mean over what each new pixel covers."""
    if pixels.shape[:2] == shape:
        return pixels
    rows, columns = shape
    return np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BOX))
