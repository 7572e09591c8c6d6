"""Looking at a slide: from afar as a whole, and tile by tile, never with all of it in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.slide import Level, Slide

_BLOCK = 256
"""Pixels of the picture that are read at once: bounds the memory, whatever the level."""


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
    def affine(self) -> NDArray[np.float64]:
        """Shape (4, 4), read-only: (0, row, column, 1) of a tile to the slide mm of its centre."""
        half = np.array([[(size - 1) / 2 for size in reversed(self.size)]])
        corners = np.array([[0, 0], [0, self.stride[0]], [self.stride[1], 0]]) + half
        first, below, beside = self.level.matrix.on_slide(corners)
        affine = np.eye(4)
        affine[:3, 1], affine[:3, 2], affine[:3, 3] = below - first, beside - first, first
        row, column = affine[:3, 2], affine[:3, 1]
        affine[:3, 0] = np.cross(row, column) / np.linalg.norm(np.cross(row, column))
        affine.flags.writeable = False
        return affine


def tile_grid(slide: Slide, *, spacing_mm: float, size: int, stride: int) -> TileGrid:
    """Return tiles that show `size` pixels of `spacing_mm` each.

    They are cut from the coarsest level that is fine enough, in whole pixels of it, so where a
    tile lies is exact, and how much it shows is right to half a pixel.

    Raises
    ------
    Refusal
        ``slide-too-coarse``.

    """
    level = fine_enough(slide, spacing_mm)

    def in_level(pixels: int) -> tuple[int, int]:
        rows, columns = (
            max(1, round(pixels * spacing_mm / step)) for step in level.matrix.spacing_mm
        )
        return rows, columns

    return TileGrid(level=level, size=in_level(size), stride=in_level(stride))


def fine_enough(slide: Slide, spacing_mm: float) -> Level:
    """Return `Slide.level_for`; raises Refusal ``slide-too-coarse`` where there is none."""
    level = slide.level_for(spacing_mm)
    if level is None:
        finest = max(slide.levels[0].matrix.spacing_mm)
        raise Refusal(
            "slide-too-coarse",
            f"The finest level shows {finest * 1000:.3g} µm a pixel, this model needs"
            f" {spacing_mm * 1000:.3g} µm.",
        )
    return level


def overview(slide: Slide, spacing_mm: float) -> NDArray[np.uint8]:
    """Return the whole slide at about `spacing_mm` as (rows, columns, 3), read block by block.

    Pixel (i, j) shows what lies from i and j to i + 1 and j + 1 times `spacing_mm` behind the
    edges of the level; a last pixel may be cut off. Raises as `fine_enough`.
    """
    level = fine_enough(slide, spacing_mm)
    matrix = level.matrix
    down, across = (spacing_mm / step for step in matrix.spacing_mm)
    shape = max(1, round(matrix.rows / down)), max(1, round(matrix.columns / across))
    picture = np.empty((*shape, 3), np.uint8)
    for top in range(0, shape[0], _BLOCK):
        for left in range(0, shape[1], _BLOCK):
            bottom, right = min(top + _BLOCK, shape[0]), min(left + _BLOCK, shape[1])
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
