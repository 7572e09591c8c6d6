"""From a volume's grid to the network's, and back.

Axes are only permuted and turned round, to the orientation nearest to the one that the network
knows, so that the way back is exact. Spacing changes only where it differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Geometry

PATIENT_AXES = {"L": (0, 1), "P": (1, 1), "S": (2, 1), "R": (0, -1), "A": (1, -1), "I": (2, -1)}
"""Letter of an orientation: axis of the patient's coordinates (LPS), and which way."""

_SAME_SPACING = 0.05
"""Relative difference in spacing that the network does not notice."""
_BLOCK = 128
"""Rows of weights that are multiplied at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkGrid:
    """How a volume's voxels are laid out for a network.

    Everything is by the network's axes.
    """

    axes: tuple[int, ...]
    """The volume's axis that becomes each of the network's."""
    turned: tuple[bool, ...]
    """Whether it runs the other way."""
    tilt_deg: float
    """Greatest angle between an axis of the volume and the network's axis that it becomes."""
    source_spacing_mm: tuple[float, ...]
    source_shape: tuple[int, ...]
    shape: tuple[int, ...]
    """Voxels after the spacing was changed."""

    @property
    def extent_mm(self) -> tuple[float, ...]:
        """How far the volume reaches along the network's axes."""
        pairs = zip(self.source_shape, self.source_spacing_mm, strict=True)
        return tuple(count * step for count, step in pairs)

    def to_network(self, voxels: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return voxels (slices, rows, columns) on the network's grid."""
        # Resampled as they lie in memory: turning the axes of the finer grid takes far longer.
        resampled = _resample(voxels.astype(np.float32), self._by_source_axis(self.shape))
        return resampled.transpose(self.axes)[self._turns()]

    def to_source(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values on the network's grid as (slices, rows, columns)."""
        laid_out = values[self._turns()].transpose(np.argsort(self.axes))
        return _resample(laid_out, self._by_source_axis(self.source_shape))

    def _by_source_axis(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(counts[place] for place in np.argsort(self.axes))

    def _turns(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if turned else 1) for turned in self.turned)


def network_grid(
    geometry: Geometry, *, orientation: str, spacing_mm: tuple[float, ...]
) -> NetworkGrid:
    """Return the grid for a network whose axes point to `orientation`, e.g. ``RAS``."""
    steps = geometry.affine[:3, :3] / geometry.spacing_mm
    towards = np.array([PATIENT_AXES[c][1] * steps[PATIENT_AXES[c][0]] for c in orientation])
    axes = max(permutations(range(3)), key=lambda p: float(np.abs(towards[range(3), p]).sum()))
    cosines = towards[range(3), axes]
    source_shape = tuple(geometry.shape[axis] for axis in axes)
    source_spacing = tuple(geometry.spacing_mm[axis] for axis in axes)
    lengths = zip(source_shape, source_spacing, spacing_mm, strict=True)
    return NetworkGrid(
        axes=axes,
        turned=tuple(bool(cosine < 0) for cosine in cosines),
        tilt_deg=float(np.degrees(np.arccos(np.clip(np.abs(cosines), 0, 1).min()))),
        source_spacing_mm=source_spacing,
        source_shape=source_shape,
        shape=tuple(_count(count, have, want) for count, have, want in lengths),
    )


def label_map(
    probabilities: Iterable[NDArray[np.float32]], grid: NetworkGrid
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the most probable class of each of the volume's voxels, and its probability.

    `probabilities` are the classes' on the network's grid, background first. They are brought
    back one by one before they are compared, so that a border is as smooth as the volume's grid.
    """
    classes = iter(probabilities)
    best = np.array(grid.to_source(next(classes)), dtype=np.float32)
    labels = np.zeros(best.shape, dtype=np.uint8)
    for number, probability in enumerate(classes, start=1):
        candidate = grid.to_source(probability)
        labels[candidate > best] = number
        np.maximum(best, candidate, out=best)
    return labels, best


def _count(count: int, have_mm: float, want_mm: float) -> int:
    if abs(have_mm / want_mm - 1) <= _SAME_SPACING:
        return count
    return max(1, round(count * have_mm / want_mm))


def _resample(values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return `values` over the same extent with `shape` voxels, in C order."""
    values = np.ascontiguousarray(values)
    for axis, (have, want) in enumerate(zip(values.shape, shape, strict=True)):
        if have != want:
            values = _weighted(values, _means(have, want), axis)
    return values


def _weighted(
    values: NDArray[np.float32], weights: NDArray[np.float32], axis: int
) -> NDArray[np.float32]:
    """Return the sums along `axis` that each row of `weights` asks for.

    Weights are zero but near the diagonal: only the voxels that count are multiplied.
    """
    before, have, after = values.shape[:axis], values.shape[axis], values.shape[axis + 1 :]
    stacked = values.reshape(-1, have, int(np.prod(after)))
    sums = np.empty((len(stacked), len(weights), stacked.shape[2]), dtype=np.float32)
    # Along the last axis the voxels of a row lie apart, and products of matrices are faster.
    step = 1 if after else _BLOCK
    for first in range(0, len(weights), step):
        rows = slice(first, first + step)
        near = _touched(weights[rows])
        if after:
            np.einsum("n,bnc->bc", weights[first, near], stacked[:, near], out=sums[:, first])
        else:
            np.matmul(stacked[:, near, 0], weights[rows, near].T, out=sums[:, rows, 0])
    return sums.reshape(*before, len(weights), *after)


def _touched(weights: NDArray[np.float32]) -> slice:
    """Return the columns from the first to the last that some row does not leave out."""
    columns = np.flatnonzero(weights.any(axis=0))
    return slice(int(columns[0]), int(columns[-1]) + 1)


def _means(have: int, want: int) -> NDArray[np.float32]:
    """Return weights (want, have): each new voxel is the mean over its own extent.

    What is averaged is the straight line from old voxel to old voxel. So a ramp stays the same
    ramp, and detail finer than the new spacing does not come back as a false pattern.
    """
    edges = np.arange(want + 1)[:, None] * (have / want) - 0.5
    ends = np.clip(edges - np.arange(have), -1, 1)
    # The area, up to each end, under the tent that rises from -1 to 0 and falls to 1.
    areas = np.diff(0.5 + ends - ends * np.abs(ends) / 2, axis=0)
    weights: NDArray[np.float32] = (areas / areas.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights
