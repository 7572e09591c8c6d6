"""Run a network over a volume in overlapping windows and blend what it says.

The result is that of MONAI's ``sliding_window_inference(mode="gaussian")``, in less memory: sums
are kept for one layer of windows, and what no later window touches is finished and leaves.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from clic_edge.inference.declaration import Window

    Forward = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """Windows (n, 1, x, y, z) to logits (n, classes, x, y, z)."""

_SIGMA = 0.125
"""Width of the Gaussian as a share of the window."""
_LEAST_WEIGHT = 1e-3
"""Corners count a little, so that no voxel is divided by nothing."""


def sliding_window(
    image: NDArray[np.float32], forward: Forward, *, window: Window, classes: int
) -> NDArray[np.float32]:
    """Return blended logits (classes, x, y, z) for `image` (x, y, z).

    An image smaller than the window is padded with 0 on both sides.
    """
    padded, inside = _pad(image, window.shape)
    layers, rows, columns = (
        _starts(size, extent, window.overlap)
        for size, extent in zip(padded.shape, window.shape, strict=True)
    )
    weight = importance(window.shape)
    depth = window.shape[0]
    slab = np.zeros((classes, depth, *padded.shape[1:]), dtype=np.float32)
    weights = np.zeros(slab.shape[1:], dtype=np.float32)
    blended = np.empty((classes, *padded.shape), dtype=np.float32)
    weighted = np.empty((classes, *window.shape), dtype=np.float32)
    for layer, following in pairwise([*layers, padded.shape[0]]):
        corners = list(product([layer], rows, columns))
        for first in range(0, len(corners), window.batch):
            cuts = [_cut(corner, window.shape) for corner in corners[first : first + window.batch]]
            logits = forward(np.stack([padded[cut] for cut in cuts])[:, None])
            for (_, *plane), values in zip(cuts, logits, strict=True):
                slab[:, :, *plane] += np.multiply(values, weight, out=weighted)
                weights[:, *plane] += weight
        done = following - layer
        np.divide(slab[:, :done], weights[:done], out=blended[:, layer:following])
        _advance(slab, done, axis=1)
        _advance(weights, done, axis=0)
    return blended[:, *inside]


def importance(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return the weight of each voxel of a window: a Gaussian about its middle."""
    x, y, z = (
        np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * (_SIGMA * size) ** 2))
        for size in shape
    )
    weight: NDArray[np.float32] = (x[:, None, None] * y[:, None] * z).astype(np.float32)
    return np.maximum(weight, max(weight.min(), _LEAST_WEIGHT))


def _pad(
    image: NDArray[np.float32], shape: tuple[int, int, int]
) -> tuple[NDArray[np.float32], tuple[slice, ...]]:
    """Return the image, at least as large as `shape`, and where it lies in there."""
    missing = [max(want - have, 0) for have, want in zip(image.shape, shape, strict=True)]
    before = [count // 2 for count in missing]
    padding = [(first, count - first) for first, count in zip(before, missing, strict=True)]
    inside = [slice(first, first + have) for first, have in zip(before, image.shape, strict=True)]
    return np.pad(image, padding), tuple(inside)


def _starts(size: int, extent: int, overlap: float) -> list[int]:
    """Return where windows of `extent` begin, so that they cover `size`; the last ends there."""
    step = max(int(extent * (1 - overlap)), 1)
    return [*range(0, size - extent, step), size - extent]


def _cut(corner: tuple[int, ...], shape: tuple[int, int, int]) -> tuple[slice, ...]:
    return tuple(slice(first, first + size) for first, size in zip(corner, shape, strict=True))


def _advance(sums: NDArray[np.float32], done: int, *, axis: int) -> None:
    """Move what is not finished to the front, in place, and begin anew behind it."""
    along = np.moveaxis(sums, axis, 0)
    kept = len(along) - done
    along[:kept] = along[done:].copy()
    along[kept:] = 0
