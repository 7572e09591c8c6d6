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
    """Square tiles of one level, evenly spaced; the outer ones may reach beyond it.

    The level is cut into cells of `stride`, and a tile lies around the middle of its cell: where
    tiles overlap, it shows the surroundings of the cell too, and the score is the cell's.
    """

    level: Level
    size: tuple[int, int]
    """Rows and columns of a tile in pixels of the level."""
    stride: tuple[int, int]
    """From tile to tile."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles: every pixel of the level lies in one cell."""
        matrix = self.level.matrix
        return math.ceil(matrix.rows / self.stride[0]), math.ceil(matrix.columns / self.stride[1])

    @property
    def margin(self) -> tuple[int, int]:
        """How far a tile reaches beyond the top and the left of its cell."""
        return (self.size[0] - self.stride[0]) // 2, (self.size[1] - self.stride[1]) // 2

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Return row and column of the first pixel of a tile; below 0 where it reaches beyond."""
        above, before = self.margin
        return row * self.stride[0] - above, column * self.stride[1] - before

    def read(self, row: int, column: int, *, pixels: int) -> NDArray[np.uint8]:
        """Return one tile as (pixels, pixels, 3); Raises Defect as `TileReader`."""
        top, left = self.corner(row, column)
        found = self.level.tiles(left, top, columns=self.size[1], rows=self.size[0])
        return resized(found, (pixels, pixels))

    @property
    def geometry(self) -> Geometry:
        """The tiles as a grid of their centres on the slide."""
        top, left = self.corner(0, 0)
        middle = np.array([left + (self.size[1] - 1) / 2, top + (self.size[0] - 1) / 2])
        points = np.array([[0, 0], [0, self.stride[0]], [self.stride[1], 0]]) + middle
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
