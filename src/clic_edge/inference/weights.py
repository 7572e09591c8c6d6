"""Resampling along one axis, as a matrix of weights: a row for each new voxel.

Places are counted in old voxels, 0 at the middle of the first. A new voxel n lies at
``first + n * step``; what lies beyond the old voxels is the nearest of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import affine_transform
from scipy.special import erf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Weights = NDArray[np.float32]
    """Shape (new voxels, old voxels); each row adds up to 1."""

Order = Literal[0, 1, 3]
"""Of the spline: nearest, linear, cubic."""

_BLOCK = 128
"""Rows of weights that are multiplied at once."""
_LEAST = 1e-7
"""A weight that no float32 of the sum notices."""
_REACH = 4.0
"""Standard deviations at which a Gaussian is cut off."""


def weighted(values: NDArray[np.float32], weights: Weights, axis: int) -> NDArray[np.float32]:
    """Return the sums along `axis` that each row of `weights` asks for, in C order.

    Weights are zero but near the diagonal: only the voxels that count are multiplied.
    """
    values = np.ascontiguousarray(values)
    before, have, after = values.shape[:axis], values.shape[axis], values.shape[axis + 1 :]
    stacked = values.reshape(-1, have, int(np.prod(after)))
    sums = np.empty((len(stacked), len(weights), stacked.shape[2]), dtype=np.float32)
    # Along the last axis the voxels of a row lie apart, and products of matrices are faster.
    step = 1 if after else _BLOCK
    for first in range(0, len(weights), step):
        rows = slice(first, first + step)
        near = touched(weights[rows])
        if after:
            np.einsum("n,bnc->bc", weights[first, near], stacked[:, near], out=sums[:, first])
        else:
            np.matmul(stacked[:, near, 0], weights[rows, near].T, out=sums[:, rows, 0])
    return sums.reshape(*before, len(weights), *after)


def touched(weights: Weights) -> slice:
    """Return the columns from the first to the last that some row does not leave out."""
    columns = np.flatnonzero(weights.any(axis=0))
    return slice(int(columns[0]), int(columns[-1]) + 1) if columns.size else slice(0, 0)


def means(have: int, want: int, *, step: float, first_edge: float) -> Weights:
    """Return weights by which each new voxel is the mean over its own extent.

    `first_edge` is where the first new voxel begins. What is averaged is the straight line from
    old voxel to old voxel. So a ramp stays the same ramp, and detail finer than the new spacing
    does not come back as a false pattern.
    """
    edges = np.arange(want + 1)[:, None] * step + first_edge
    ends = np.clip(edges - np.arange(have), -1, 1)
    # The area, up to each end, under the tent that rises from -1 to 0 and falls to 1.
    areas = np.diff(0.5 + ends - ends * np.abs(ends) / 2, axis=0)
    weights: Weights = (areas / areas.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


def spline(
    have: int, want: int, *, step: float, first: float, order: Order, anti_alias: bool
) -> Weights:
    """Return weights by which each new voxel is the spline through the old ones, at its middle.

    With `anti_alias`, and where it goes coarser, what the new spacing can't hold is smoothed away
    first: by a Gaussian of (step - 1) / 2 old voxels, as scikit-image and MONAI do in resizing.
    """
    weights = np.stack(
        [
            affine_transform(
                one, [[step]], first, output_shape=(want,), order=order, mode="nearest"
            )
            for one in np.eye(have)
        ],
        axis=1,
    )
    if anti_alias and step > 1:
        weights = weights @ _gaussian(have, (step - 1) / 2)
    weights[np.abs(weights) < _LEAST] = 0
    kept: Weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return kept


def _gaussian(have: int, sigma: float) -> NDArray[np.float64]:
    """Return weights that smooth; each is the Gaussian's mean over an old voxel."""
    reach = math.floor(max(sigma * _REACH, 0.5) + 0.5)
    steps = np.arange(-reach, reach + 1)
    shares = np.diff(erf(np.append(steps - 0.5, reach + 0.5) / (math.sqrt(2) * sigma)))
    weights = np.zeros((have, have))
    places = np.arange(have)
    for step, share in zip(steps, shares / shares.sum(), strict=True):
        weights[places, np.clip(places + step, 0, have - 1)] += share
    return weights
