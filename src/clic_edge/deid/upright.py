"""A volume seen along the patient's axes, however its slices lie; and the tissue in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Geometry, Volume

AIR_HU = -300.0
_MR_SHARE = 0.12
"""Share of the brightest signal above which a voxel of MR is tissue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where one looks: x, y, z of the lowest and of the highest corner, millimetres in LPS."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upright:
    """A volume on an even grid, shape (feet to head, front to back, right to left)."""

    values: NDArray[np.float32] = field(repr=False)
    """Each the median of a point and its neighbours."""
    inside: NDArray[np.bool_] = field(repr=False)
    """Which points lie in the field of view; the others count as the lowest value of the volume."""
    low: NDArray[np.float64]
    """x, y, z of the first point, millimetres in LPS."""
    step_mm: float

    def places(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return x, y, z of the points of a mask, shape (points, 3), millimetres in LPS."""
        return np.argwhere(mask)[:, ::-1] * self.step_mm + self.low

    def axis(self, letter: str) -> NDArray[np.float64]:
        """Return the coordinates of the grid's points along ``x``, ``y`` or ``z``."""
        at = "xyz".index(letter)
        return np.asarray(self.low[at] + np.arange(self.values.shape[2 - at]) * self.step_mm)


def upright(volume: Volume, step_mm: float, box: Box | None = None) -> Upright:
    """Return the volume on an even grid over `box`; by default, over all of it."""
    box = box or _box_of(volume.geometry)
    x, y, z = (
        np.arange(low, high + step_mm / 2, step_mm)
        for low, high in zip(box.low, box.high, strict=True)
    )
    values = np.full((z.size, y.size, x.size), np.float32(volume.voxels.min()))
    inside = np.zeros(values.shape, bool)
    for plane, height in enumerate(z):
        points = np.stack(np.meshgrid(x, y, height), axis=-1).reshape(-1, 3)
        indices, seen = indices_of(volume.geometry, points)
        inside[plane] = seen.reshape(y.size, x.size)
        values[plane][inside[plane]] = volume.voxels[tuple(indices[seen].T)]
    return Upright(values=_smooth(values), inside=inside, low=box.low, step_mm=step_mm)


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of each point and its neighbours; of planes that are all the same, one's."""
    if (values == values[:1]).all():
        one = np.asarray(ndimage.median_filter(values[0], 3), np.float32)
        return np.broadcast_to(one, values.shape)
    return np.asarray(ndimage.median_filter(values, 3), np.float32)


def _box_of(geometry: Geometry) -> Box:
    ends = [(0, count - 1) for count in geometry.shape]
    corners = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
    placed = geometry.affine[:3, :3] @ corners + geometry.affine[:3, 3:]
    return Box(low=placed.min(axis=1), high=placed.max(axis=1))


def indices_of(
    geometry: Geometry, points: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the nearest voxel of each point (points, 3), and whether it is in the field of view."""
    steps = (points - geometry.affine[:3, 3]) @ np.linalg.inv(geometry.affine[:3, :3]).T
    indices = np.rint(steps).astype(np.intp)
    return indices, np.asarray(((indices >= 0) & (indices < geometry.shape)).all(axis=1))


def least_of_tissue(grid: Upright, *, is_ct: bool) -> float:
    """Return the value above which a point is tissue, not air: Hounsfield units, or signal."""
    return AIR_HU if is_ct else _MR_SHARE * float(np.percentile(grid.values[grid.inside], 99))


def tissue_of(grid: Upright, least: float) -> NDArray[np.bool_]:
    """Return where there is tissue, without specks and sheets of one point."""
    return np.asarray(ndimage.binary_opening(grid.values > least, np.ones((2, 2, 2))), bool)


def body_of(tissue: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest piece of tissue, its hollows filled plane by plane.

    Where bone is dark, the skin around a brain may be less than the brain: it counts with all that
    it encloses.
    """
    bodies = [_filled(piece) for piece in _pieces(tissue, 2)]
    return max(bodies, key=np.count_nonzero, default=np.zeros_like(tissue))


def largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected piece of a mask; nothing of an empty one."""
    return next(_pieces(mask, 1), np.zeros_like(mask))


def _pieces(mask: NDArray[np.bool_], most: int) -> Iterator[NDArray[np.bool_]]:
    """Yield the largest connected pieces of a mask."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    for place in np.argsort(sizes)[::-1][:most]:
        yield np.asarray(labels == place + 1, bool)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask with what it encloses in each plane, also where a seam is open by two points."""
    mask = mask | np.asarray(ndimage.binary_closing(mask, np.ones((3, 3, 3))), bool)
    return np.stack([np.asarray(ndimage.binary_fill_holes(plane), bool) for plane in mask])
