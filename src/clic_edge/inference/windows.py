"""Run a network over a volume in overlapping windows and blend what it says.

The result is that of MONAI's ``sliding_window_inference(mode="gaussian")``, in less memory: sums
are kept for one layer of windows, and what no later window touches is finished and leaves.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from clic_edge.inference.volume_input import Window

    Forward = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """Windows (n, 1, x, y, z) to logits (n, classes, x, y, z)."""
    Size = tuple[int, int, int]

_SIGMA = 0.125
"""Width of the Gaussian as a share of the window."""
_PLANES = 8
"""Planes that leave at once."""
_LEAST_WEIGHT = 1e-3
"""Corners count a little, so that no voxel is divided by nothing."""


class Image(Protocol):
    """What windows are cut from: an array, or what stands for one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along x, y and z."""
        ...

    def __getitem__(self, place: tuple[slice, ...]) -> NDArray[np.float32]:
        """Return a part of it."""
        ...


def sliding_window(
    image: Image, forward: Forward, *, window: Window, classes: int
) -> NDArray[np.float32]:
    """Return blended logits (classes, x, y, z) for `image` (x, y, z).

    An image smaller than the window is padded with 0 on both sides.
    """
    blended = np.empty((classes, *image.shape), dtype=np.float32)
    done = 0
    for planes in finished_planes(image, forward, window=window, classes=classes):
        blended[:, done : done + planes.shape[1]] = planes
        done += planes.shape[1]
    return blended


def finished_planes(
    image: Image, forward: Forward, *, window: Window, classes: int
) -> Iterator[NDArray[np.float32]]:
    """Yield the same logits a few planes at a time (classes, some x, y, z), from the first x on.

    They may be changed by who gets them, and hold until the next are asked for.
    """
    padded = tuple(max(pair) for pair in zip(image.shape, window.shape, strict=True))
    before = [(size - have) // 2 for size, have in zip(padded, image.shape, strict=True)]
    deep, *plane = (
        slice(first, first + have) for first, have in zip(before, image.shape, strict=True)
    )
    layers, rows, columns = (
        _starts(size, extent, window.overlap)
        for size, extent in zip(padded, window.shape, strict=True)
    )
    weight = importance(window.shape)
    slab = np.zeros((classes, window.shape[0], *padded[1:]), dtype=np.float32)
    weights = np.zeros(slab.shape[1:], dtype=np.float32)
    for layer, following in pairwise([*layers, padded[0]]):
        corners = list(product([layer], rows, columns))
        for first in range(0, len(corners), window.batch):
            batch = corners[first : first + window.batch]
            logits = forward(_cut(image, batch, before=before, shape=window.shape))
            for (_, row, column), values in zip(batch, logits, strict=True):
                place = (slice(row, row + weight.shape[1]), slice(column, column + weight.shape[2]))
                _add(slab[:, :, *place], values, weight)
                weights[:, *place] += weight
        done = following - layer
        for x in range(max(deep.start - layer, 0), min(deep.stop - layer, done), _PLANES):
            some = slice(x, min(x + _PLANES, deep.stop - layer, done))
            yield np.divide(slab[:, some], weights[some], out=slab[:, some])[:, :, *plane]
        _advance(slab, done, axis=1)
        _advance(weights, done, axis=0)


def _add(
    sums: NDArray[np.float32], values: NDArray[np.float32], weight: NDArray[np.float32]
) -> None:
    """Add values, weighted, a class at a time: what lies between stays small."""
    for into, one in zip(sums, values, strict=True):
        np.add(into, one * weight, out=into)


def importance(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return the weight of each voxel of a window: a Gaussian about its middle."""
    x, y, z = (
        np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * (_SIGMA * size) ** 2))
        for size in shape
    )
    weight: NDArray[np.float32] = (x[:, None, None] * y[:, None] * z).astype(np.float32)
    return np.maximum(weight, max(weight.min(), _LEAST_WEIGHT))


def _starts(size: int, extent: int, overlap: float) -> list[int]:
    """Return where windows of `extent` begin, so that they cover `size`; the last ends there."""
    step = max(int(extent * (1 - overlap)), 1)
    return [*range(0, size - extent, step), size - extent]


def _cut(
    image: Image, corners: Sequence[tuple[int, ...]], *, before: Sequence[int], shape: Size
) -> NDArray[np.float32]:
    """Return windows (n, 1, x, y, z), 0 where they reach beyond the image.

    Corners are counted from `before` voxels in front of the image's first.
    """
    windows = np.zeros((len(corners), 1, *shape), dtype=np.float32)
    for window, corner in zip(windows[:, 0], corners, strict=True):
        starts = [at - gap for at, gap in zip(corner, before, strict=True)]
        inside = tuple(
            slice(max(start, 0), min(start + size, have))
            for start, size, have in zip(starts, shape, image.shape, strict=True)
        )
        there = tuple(
            slice(one.start - start, one.stop - start)
            for one, start in zip(inside, starts, strict=True)
        )
        window[there] = image[inside]
    return windows


def _advance(sums: NDArray[np.float32], done: int, *, axis: int) -> None:
    """Move what is not finished to the front, in place, and begin anew behind it."""
    along = np.moveaxis(sums, axis, 0)
    kept = len(along) - done
    # As many planes at once as are finished: so none is overwritten before it was moved.
    for first in range(0, kept, done):
        count = min(done, kept - first)
        along[first : first + count] = along[first + done : first + done + count]
    along[kept:] = 0
