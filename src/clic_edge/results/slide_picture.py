"""A slide from afar with the tiles that were marked: for a PACS that shows no slides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from clic_edge.dicom.slides import read_levels
from clic_edge.domain.overview import overview
from clic_edge.results.colours import colour_of
from clic_edge.results.slide_source import corners_mm, in_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.slide import Matrix
    from clic_edge.results.writer import Analysis

LONGEST_SIDE = 1200
"""Pixels: as much as a screen shows at once."""


def pictured_slide(analysis: Analysis) -> Image.Image:
    """Return the whole slide, the border of what was looked at, and the marked tiles, outlined."""
    levels = read_levels([one.content for one in analysis.series.instances])
    matrix = levels[0].matrix
    spacing = max(
        matrix.spacing_mm[0] * matrix.rows / LONGEST_SIDE,
        matrix.spacing_mm[1] * matrix.columns / LONGEST_SIDE,
        *matrix.spacing_mm,
    )
    image = Image.fromarray(overview(levels, spacing))
    pen = ImageDraw.Draw(image)
    for finding in analysis.prediction.segments:
        number = finding.definition.number
        for border in _borders(analysis, matrix, number=number, spacing=spacing):
            pen.line([tuple(point) for point in border], fill=(0, 0, 0), width=4)
            pen.line([tuple(point) for point in border], fill=colour_of(number), width=2)
    return image


def _borders(
    analysis: Analysis, matrix: Matrix, *, number: int, spacing: float
) -> NDArray[np.float64]:
    """Return the sides of a segment's tiles that no tile of it is beyond: (n, 2, 2), x and y."""
    labels = analysis.prediction.label_map[0]
    within = labels >= number  # what is marked is tissue too
    padded = np.pad(within, 1)
    # Sides in the order of the corners: left, bottom, right, top.
    beyond = (padded[1:-1, :-2], padded[2:, 1:-1], padded[1:-1, 2:], padded[:-2, 1:-1])
    sides = []
    for side, other in zip(((0, 3), (3, 2), (2, 1), (1, 0)), beyond, strict=True):
        tiles = np.argwhere(within & ~other)
        corners = corners_mm(analysis.prediction.geometry, tiles)[:, side]
        pixels = in_pixels(matrix, corners.reshape(-1, 3)) + 0.5
        sides.append((pixels * np.flip(matrix.spacing_mm) / spacing).reshape(-1, 2, 2))
    return np.concatenate(sides)
