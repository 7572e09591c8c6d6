"""Where findings lie, as a measurement report can say it: points on an image, or in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.results.outlines import areas_of, outlines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.prediction import Detection, Prediction
    from clic_edge.domain.volume import Geometry

ON_PLANE = 1e-4
"""Slices: what lies nearer to one lies in it, and what is thinner is flat."""

CORNERS = np.array([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]])
"""The corners of a rectangle in turn, the first again at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A point or a closed outline."""

    graphic_type: str
    """``POINT``, ``POLYLINE`` or ``POLYGON``."""
    points: NDArray[np.float64]
    """Shape (points, 2): column and row on the image of `slice_index`; or (points, 3): mm."""
    slice_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """All that is said of where one detection lies."""

    planar: Region | None
    """What is drawn on an image, or in one plane (TID 1410)."""
    surface: tuple[Region, ...] = ()
    """The contours of a box of some depth (TID 1411, Volume Surface)."""


def place_of(detection: Detection, geometry: Geometry) -> Place:
    """Return the regions of a detection.

    A point or a box that lies in a slice is drawn on its image (SCOORD), which every reader
    shows. Beside the slices, or beyond the image, it is given in space (SCOORD3D).

    A box of some depth is both. Its Volume Surface has a POLYGON at either end and on every slice
    between: exact, and a volume. But OHIF 3.12 draws the first region of a finding alone and no
    POLYGON, and others draw only what refers to an image; so the slice that is marked as its key
    image has its outline too.
    """
    index = _indices(np.array(detection.corners_mm, np.float64), geometry)
    low, high = index.min(axis=0), index.max(axis=0)
    flat = high - low < ON_PLANE
    if flat.all():
        return Place(planar=_point(low, geometry))
    if flat.any():
        outline = _outline(low, high, across=int(np.argmax(flat)), at=None)
        return Place(planar=_drawn("POLYLINE", outline, geometry))
    return Place(planar=_key_outline(low, high, geometry), surface=_contours(low, high, geometry))


def outlines_of(prediction: Prediction) -> tuple[Region | None, ...]:
    """Return each segment's outline on its key image, where it is largest; None without a voxel.

    Of several parts it is the largest one's outer border: exactly on the borders of pixels. None
    too where that has more than `MOST_POINTS` corners, as a tree of vessels does, and on a slide,
    where a point of the grid is a tile.
    """
    if prediction.geometry.on_slide:
        return (None,) * len(prediction.segments)
    areas = areas_of(prediction)
    return tuple(
        _largest(prediction.label_map[k] == one.definition.number, k) if areas[k, column] else None
        for column, (one, k) in enumerate(
            zip(prediction.segments, areas.argmax(axis=0).tolist(), strict=True)
        )
    )


MOST_POINTS = 8191
"""Graphic Data (0070,0022) has room for no more: a value of VR FL ends at 65534 bytes (PS3.5 7.1.2)."""


def _largest(mask: NDArray[np.bool_], k: int) -> Region | None:
    loop = max(outlines(mask), key=_enclosed)
    if len(loop) > MOST_POINTS:
        return None
    return Region(graphic_type="POLYLINE", points=loop.astype(np.float64), slice_index=k)


def _enclosed(loop: NDArray[np.float32]) -> float:
    """Return the area of an outline; a hole's is negative."""
    x, y = loop[:-1].T
    return float(x @ np.roll(y, -1) - np.roll(x, -1) @ y)


def _indices(points_mm: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    """Return slice, row and column of points in patient mm; pixel centres are whole."""
    step, origin = geometry.affine[:3, :3], geometry.affine[:3, 3]
    return np.asarray(np.linalg.solve(step, (points_mm - origin).T).T, np.float64)


def _point(index: NDArray[np.float64], geometry: Geometry) -> Region:
    return _drawn("POINT", index[np.newaxis], geometry)


def _outline(
    low: NDArray[np.float64], high: NDArray[np.float64], *, across: int, at: float | None
) -> NDArray[np.float64]:
    """Return the closed rectangle of a box in the plane across one of its axes."""
    sides = [axis for axis in range(3) if axis != across]
    outline = np.empty((len(CORNERS), 3))
    outline[:, across] = low[across] if at is None else at
    outline[:, sides] = np.where(CORNERS, high[sides], low[sides])
    return outline


def _drawn(graphic_type: str, indices: NDArray[np.float64], geometry: Geometry) -> Region:
    """Return points on the image that they all lie in, else in space."""
    k = round(float(indices[0, 0]))
    on_image = indices[:, :0:-1] + 0.5  # column, row; 0, 0 is the outer corner (C.18.6.1.1)
    slices, rows, columns = geometry.shape
    inside = (on_image >= 0).all() and (on_image <= (columns, rows)).all()
    if 0 <= k < slices and inside and (np.abs(indices[:, 0] - k) < ON_PLANE).all():
        return Region(graphic_type=graphic_type, points=on_image, slice_index=k)
    return Region(graphic_type=graphic_type, points=_in_space(indices, geometry))


def _in_space(indices: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    points: NDArray[np.float64] = indices @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    return points


def _key_outline(
    low: NDArray[np.float64], high: NDArray[np.float64], geometry: Geometry
) -> Region | None:
    """Return the outline on the slice next to the middle; None where no image shows all of it."""
    middle = round(float(low[0] + high[0]) / 2)
    region = _drawn("POLYLINE", _outline(low, high, across=0, at=middle), geometry)
    return region if region.slice_index is not None else None


def _contours(
    low: NDArray[np.float64], high: NDArray[np.float64], geometry: Geometry
) -> tuple[Region, ...]:
    """Return a box's outlines at both ends and on each slice between."""
    between = np.arange(geometry.shape[0])
    between = between[(between > low[0] + ON_PLANE) & (between < high[0] - ON_PLANE)]
    return tuple(
        Region(
            graphic_type="POLYGON",
            points=_in_space(_outline(low, high, across=0, at=float(k)), geometry),
        )
        for k in (low[0], *between, high[0])
    )
