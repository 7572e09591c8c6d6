"""A slide's original as the writers and the check need it: where it lies, and how tiles lie on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset

from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.slide_headers import read_slide_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.prediction import ParametricMap, Prediction
    from clic_edge.domain.slide import Matrix
    from clic_edge.domain.volume import Geometry
    from clic_edge.results.source import Source

CORNERS = ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5))
"""Of a tile around its centre, as (row, column) in tiles: once around it."""


MARKED = 2
"""The segment whose tiles are drawn; the first one is tissue, which a map shows better."""


def marked_tiles(prediction: Prediction) -> NDArray[np.int64]:
    """Return row and column of each marked tile, shape (n, 2), row by row."""
    return np.argwhere(prediction.label_map[0] == MARKED)


def padding(one: ParametricMap) -> np.float32:
    """Return what stands where no tile was looked at: a number that no tile has."""
    return np.float32(min(0.0, np.floor(float(one.values.min()))) - 1)


def matrix_of(source: Source) -> Matrix:
    """Return the total pixel matrix of the original; raises as `read_slide_image`."""
    return read_slide_image(Attributes(dataset=source.header, where="the original")).matrix


def stand_in(source: Source) -> Dataset:
    """Return what highdicom needs to know of the original: its header, and whose it is."""
    image = Dataset()
    image.update(source.header)
    image.update(source.identity)
    return image


def corners_mm(geometry: Geometry, tiles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return shape (n, 4, 3): the corners of tiles, given as (row, column), in slide millimetres."""
    around = tiles[:, np.newaxis, :] + np.array(CORNERS)
    flat = around.reshape(-1, 2)
    indices = np.column_stack([np.zeros(len(flat)), flat, np.ones(len(flat))])
    placed: NDArray[np.float64] = (indices @ geometry.affine.T)[:, :3]
    return placed.reshape(-1, 4, 3)


def in_pixels(matrix: Matrix, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (column, row) in a total pixel matrix, from 0 at the first pixel's centre; (n, 2)."""
    along_row, along_column = np.array(matrix.orientation).reshape(2, 3)
    away = np.asarray(points_mm) - np.array(matrix.origin_mm)
    return np.stack(
        [away @ along_row / matrix.spacing_mm[1], away @ along_column / matrix.spacing_mm[0]],
        axis=-1,
    )
