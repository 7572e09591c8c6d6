"""Outlines of masks, exactly on the borders of pixels, and which slices show them best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.prediction import Detection, Prediction
    from clic_edge.domain.volume import Geometry

Point = tuple[int, int]


def outlines(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], ...]:
    """Return the borders of a mask of shape (rows, columns) as closed polylines.

    Each has shape (points, 2): column and row of pixel corners, the first point again at the end;
    0, 0 is the outer corner of the first pixel, so pixel *n* reaches from *n* to *n* + 1 (PIXEL
    units of PS3.3 C.10.5.1.2). Holes have outlines of their own.
    """
    following = _steps(mask)
    loops = []
    while following:
        start = point = next(iter(following))
        loop = [start]
        while True:
            ends = following[point]
            onward = ends.pop()
            if not ends:
                del following[point]
            loop.append(onward)
            point = onward
            if point == start:
                break
        loops.append(_corners(np.array(loop, np.float32)))
    return tuple(loops)


def _steps(mask: NDArray[np.bool_]) -> dict[Point, list[Point]]:
    """Return each border of a pixel as a step from corner to corner, the mask on its right."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    borders = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  #  above: to the right
        (padded[1:-1, 2:], (1, 0), (1, 1)),  #   right: downward
        (padded[2:, 1:-1], (1, 1), (0, 1)),  #   below: to the left
        (padded[1:-1, :-2], (0, 1), (0, 0)),  #  left: upward
    )
    steps: dict[Point, list[Point]] = {}
    for neighbour, (from_x, from_y), (to_x, to_y) in borders:
        for row, column in np.argwhere(inside & ~neighbour).tolist():
            start = (column + from_x, row + from_y)
            steps.setdefault(start, []).append((column + to_x, row + to_y))
    return steps


def _corners(loop: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leave out the points at which a closed loop goes straight on."""
    ring = loop[:-1]
    turns = np.any(ring - np.roll(ring, 1, axis=0) != np.roll(ring, -1, axis=0) - ring, axis=1)
    kept = ring[turns]
    return np.concatenate([kept, kept[:1]])


def key_slices(prediction: Prediction) -> tuple[int, ...]:
    """Return, in order, where each segment is largest and where each detection lies."""
    areas = areas_of(prediction)
    best = {int(areas[:, number].argmax()) for number in range(areas.shape[1])}
    found = {k for k in best if areas[k].any()}
    return tuple(
        sorted(found | {slice_of(one, prediction.geometry) for one in prediction.detections})
    )


def pictured(prediction: Prediction) -> tuple[int, ...]:
    """Return the slices that a page shows: the key slices, or the single image whatever was found."""
    return key_slices(prediction) if prediction.geometry.in_patient else (0,)


def areas_of(prediction: Prediction) -> NDArray[np.int64]:
    """Return how many voxels each declared segment has on each slice: (slices, segments)."""
    numbers = [one.definition.number for one in prediction.segments]
    counts = [np.bincount(plane.ravel(), minlength=256) for plane in prediction.label_map]
    return np.array(counts, np.int64).reshape(-1, 256)[:, numbers]


def slice_of(detection: Detection, geometry: Geometry) -> int:
    """Return the slice next to the middle of a detection."""
    middle = np.append(np.mean(detection.corners_mm, axis=0), 1.0)
    index = np.linalg.solve(geometry.affine, middle)[0]
    return int(np.clip(round(float(index)), 0, geometry.shape[0] - 1))
