"""Four scores of artefacts that a physicist knows, each blind to the other three as far as it can be.

All are shares of the image's own contrast, so that they don't depend on units or brightness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.feature import Feature

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BAND = 16
"""The outermost of so many parts of rows or columns is looked at for ghosts."""
_SMALLEST = 32
"""Rows and columns; of smaller images nothing is said."""
_CORE = 8
"""Pixels about the middle in which a ring has too few pixels to average."""
_SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0]) / np.sqrt(6)
"""Of norm 1, so that white noise keeps its sd; blind to anything linear."""


def artefact_features(
    slices: NDArray[np.float32], contrast: float, *, clipped_share: float
) -> tuple[Feature, ...]:
    """Return ghosting, stripes, rings and clipping of a few slices of shape (n, rows, columns).

    `contrast` is the range of the image's intensities; `clipped_share` that of its voxels which
    have the largest value. Nothing is said of images without contrast, or smaller than 32 pixels.
    """
    clipped = Feature(name="input.artefact.clipped_share", number=clipped_share)
    if contrast <= 0 or min(slices.shape[1:]) < _SMALLEST:
        return (clipped,)
    scores = {
        "ghosting": _ghosting(slices),
        "stripes": max(_roughness(slices.mean(axis=axis)) for axis in (1, 2)),
        "rings": _roughness(_about_the_middle(slices)),
    }
    return (
        clipped,
        *(
            Feature(name=f"input.artefact.{name}", number=score / contrast)
            for name, score in scores.items()
        ),
    )


def _ghosting(slices: NDArray[np.float32]) -> float:
    """Return by how much two opposite edges are brighter than the other two, mean of the slices.

    A ghost is displaced along one axis, that of phase encoding, so it is seen at two edges only
    (American College of Radiology, MRI Quality Control Manual: percent signal ghosting).
    """
    rows, columns = slices.shape[1:]
    high, wide = rows // _BAND, columns // _BAND
    middle_rows = slice(rows // 4, rows - rows // 4)
    middle_columns = slice(columns // 4, columns - columns // 4)
    ends = slices[:, [*range(high), *range(rows - high, rows)], middle_columns]
    sides = slices[:, middle_rows, [*range(wide), *range(columns - wide, columns)]]
    differences = ends.mean(axis=(1, 2)) - sides.mean(axis=(1, 2))
    return float(np.abs(differences).mean()) / 2


def _about_the_middle(slices: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean of each ring of one pixel's width, shape (n, rings): CT turns about it."""
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in slices.shape[1:])
    radius = np.hypot(rows[:, None], columns).astype(np.intp).reshape(-1)
    counts = np.bincount(radius)
    sums = [np.bincount(radius, one.reshape(-1)) for one in slices]
    return (
        np.array(sums)[:, _CORE : min(slices.shape[1:]) // 2]
        / counts[_CORE : min(slices.shape[1:]) // 2]
    )


def _roughness(profiles: NDArray[np.floating]) -> float:
    """Return how much neighbours in a profile differ beyond a straight line, root mean square."""
    bends = [np.convolve(one, _SECOND_DIFFERENCE, mode="valid") for one in profiles]
    return float(np.sqrt(np.mean(np.square(bends))))
