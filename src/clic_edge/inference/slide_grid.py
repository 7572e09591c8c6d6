"""The tiles of a slide that a network sees, and where each lies on the glass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.overview import fine_enough, resized
from clic_edge.domain.volume import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.slide import Level, Slide


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGrid:
    """Square tiles of one level, evenly spaced; the last ones may reach beyond it."""

    level: Level
    size: tuple[int, int]
    """Rows and columns of a tile in pixels of the level."""
    stride: tuple[int, int]
    """From tile to tile."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles: every pixel of the level lies in one at least."""
        matrix = self.level.matrix
        down, across = (
            max(1, math.ceil((length - size) / stride) + 1) if length > size else 1
            for length, size, stride in zip(
                (matrix.rows, matrix.columns), self.size, self.stride, strict=True
            )
        )
        return down, across

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Return row and column of the first pixel of a tile."""
        return row * self.stride[0], column * self.stride[1]

    def read(self, row: int, column: int, *, pixels: int) -> NDArray[np.uint8]:
        """Return one tile as (pixels, pixels, 3); Raises Defect as `TileReader`."""
        top, left = self.corner(row, column)
        found = self.level.tiles(left, top, columns=self.size[1], rows=self.size[0])
        return resized(found, (pixels, pixels))

    @property
    def geometry(self) -> Geometry:
        """The tiles as a grid of their centres on the slide."""
        half = np.array([[(size - 1) / 2 for size in reversed(self.size)]])
        points = np.array([[0, 0], [0, self.stride[0]], [self.stride[1], 0]]) + half
        return Geometry.on_glass(self.level.matrix.on_slide(points), self.shape)


def tile_grid(slide: Slide, *, spacing_mm: float, size: int, stride: int) -> TileGrid:
    """Return tiles that show `size` pixels of `spacing_mm` each.

    They are cut from the coarsest level that is fine enough, in whole pixels of it, so where a
    tile lies is exact, and how much it shows is right to half a pixel.

    Raises
    ------
    Refusal
        ``slide-too-coarse``.

    """
    level = fine_enough(slide.levels, spacing_mm)

    def in_level(pixels: int) -> tuple[int, int]:
        rows, columns = (
            max(1, round(pixels * spacing_mm / step)) for step in level.matrix.spacing_mm
        )
        return rows, columns

    return TileGrid(level=level, size=in_level(size), stride=in_level(stride))
