"""A digitised glass slide: a pyramid of tiled images, and where each pixel lies on the glass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from clic_edge.domain.volume import Geometry, SliceSource

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Acquisition


class TileReader(Protocol):
    """Reads pixels of one level from its compressed tiles, only those that are asked for."""

    def __call__(self, column: int, row: int, *, columns: int, rows: int) -> NDArray[np.uint8]:
        """Return shape (rows, columns, 3), red, green, blue; `column` and `row` count from 0.

        What lies beyond the total pixel matrix, or in a tile that was never scanned, is white.
        Safe to call from several threads. Raises Defect where a tile can't be decoded.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The total pixel matrix of one level and where it lies on the slide (PS3.3 C.8.12.4, C.8.12.2)."""

    rows: int
    columns: int
    origin_mm: tuple[float, float, float]
    """Centre of the first pixel: Total Pixel Matrix Origin (0048,0008)."""
    orientation: tuple[float, float, float, float, float, float]
    """Image Orientation (Slide) (0048,0102): unit vectors along a row, and along a column."""
    spacing_mm: tuple[float, float]
    """Between rows, between columns."""

    def on_slide(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return shape (n, 3), millimetres of the slide, for points (column, row), shape (n, 2).

        A whole number is the centre of a pixel, and (0, 0) the first one's.
        """
        along_row, along_column = np.array(self.orientation).reshape(2, 3)
        steps = np.stack([along_row * self.spacing_mm[1], along_column * self.spacing_mm[0]])
        placed: NDArray[np.float64] = np.array(self.origin_mm) + np.asarray(points) @ steps
        return placed

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """The middle of the whole matrix, shape (3,)."""
        middle = np.array([[(self.columns - 1) / 2, (self.rows - 1) / 2]])
        centre: NDArray[np.float64] = self.on_slide(middle)[0]
        return centre


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One image of the pyramid."""

    matrix: Matrix
    tiles: TileReader = field(repr=False)
    instance_index: int
    """Index into `CleanSeries.instances`, and so into `Series.instances`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """One slide of one subject at all its magnifications; no pixel is read before it is asked for."""

    levels: tuple[Level, ...]
    """From the finest to the coarsest."""
    objective_power: float | None
    """Objective Lens Power (0048,0112), where it is told: spacing counts, this is for people."""
    acquisition: Acquisition
    subject_id: str
    series_uid: str
    """The keyed Series Instance UID."""

    @property
    def slices(self) -> tuple[SliceSource, ...]:
        """The finest level: what results refer to."""
        return (SliceSource(instance_index=self.levels[0].instance_index, frame_number=1),)

    @property
    def geometry(self) -> Geometry:
        """The grid of the finest level's pixels on the slide."""
        matrix = self.levels[0].matrix
        points = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        return Geometry.on_glass(matrix.on_slide(points), (matrix.rows, matrix.columns))

    def narrowed(self, needs: Collection[str]) -> Self:
        """Return what a model may see: as `Volume.narrowed`."""
        told = self.acquisition.narrowed(needs)
        return replace(self, acquisition=told, subject_id="", series_uid="")
