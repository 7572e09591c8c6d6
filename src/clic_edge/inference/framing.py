"""From an image's own pixels to those that a network sees, and back.

Both grids cover the same extent, from the outer edge of the first pixel to that of the last, so
nothing moves on the way. Padding and cropping are whole pixels, and are undone as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from clic_edge.inference.image_input import ImageInput

    Extent = tuple[int, int]
    """Rows, columns."""
    Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """Weights by the distance from the middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How one image lies in what the network sees."""

    source: Extent
    """Of the image."""
    taken: tuple[slice, slice]
    """The part of the image that the network sees."""
    placed: tuple[slice, slice]
    """Where it lies among the network's pixels."""
    size: Extent
    """Of what the network sees."""
    sampling: str
    padding: float

    def to_network(self, pixels: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return pixels (rows, columns) or (rows, columns, channels) at the network's size."""
        seen = np.full((*self.size, *pixels.shape[2:]), self.padding, np.float32)
        seen[self.placed] = _resampled(pixels[self.taken], _extent(self.placed), self.sampling)
        return seen

    def to_source(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values at the network's size on the image's pixels; 0 where it saw nothing."""
        found = np.zeros(self.source, np.float32)
        found[self.taken] = _resampled(values[self.placed], _extent(self.taken), "bilinear")
        return found

    def point_in_source(self, x: float, y: float) -> tuple[float, float]:
        """Return column and row of the image at which a place of the network's picture lies.

        Both count from the outer edge of the first pixel. What lies beside the image comes to its
        nearest edge.
        """
        found = [
            taken.start + (place - placed.start) * _length(taken) / _length(placed)
            for place, placed, taken in zip(
                (x, y), reversed(self.placed), reversed(self.taken), strict=True
            )
        ]
        column, row = (
            min(max(place, 0.0), float(count))
            for place, count in zip(found, reversed(self.source), strict=True)
        )
        return column, row


def _length(part: slice) -> int:
    return int(part.stop - part.start)


def frame(source: Extent, declared: ImageInput) -> Framing:
    """Return how an image of `source` rows and columns becomes what the network sees."""
    taken = placed = (1.0, 1.0)
    rows, columns = (want / have for have, want in zip(source, declared.size, strict=True))
    if declared.fit == "pad":
        placed = (min(rows, columns) / rows, min(rows, columns) / columns)
    elif declared.fit == "crop":
        taken = (rows / max(rows, columns), columns / max(rows, columns))
    return Framing(
        source=source,
        taken=_middle(source, taken),
        placed=_middle(declared.size, placed),
        size=declared.size,
        sampling=declared.sampling,
        padding=declared.padding,
    )


def resized(values: NDArray[np.float32], extent: Extent) -> NDArray[np.float32]:
    """Return values (rows, columns) over the same extent with another number of pixels."""
    return _resampled(values, extent, "bilinear")


def _middle(whole: Extent, share: tuple[float, float]) -> tuple[slice, slice]:
    """Return the middle of some pixels: a share of each axis, whole pixels, one at least."""
    sizes = [max(1, round(n * part)) for n, part in zip(whole, share, strict=True)]
    starts = [(n - size) // 2 for n, size in zip(whole, sizes, strict=True)]
    rows, columns = (slice(first, first + n) for first, n in zip(starts, sizes, strict=True))
    return rows, columns


def _extent(part: tuple[slice, slice]) -> Extent:
    rows, columns = (one.stop - one.start for one in part)
    return rows, columns


def _resampled(values: NDArray[np.generic], extent: Extent, sampling: str) -> NDArray[np.float32]:
    if values.ndim > 2:  # noqa: PLR2004 - rows, columns, channels: one by one, to save memory
        channels = [_resampled(one, extent, sampling) for one in np.moveaxis(values, -1, 0)]
        return np.stack(channels, axis=-1)
    found = np.asarray(values, np.float32)
    for _ in range(2):  # rows, then columns, and both are back where they were
        have, want = len(found), extent[0]
        if have != want:
            found = _WEIGHTS[sampling](have, want) @ np.ascontiguousarray(found)
        found, extent = found.T, extent[::-1]
    return found


def _areas(have: int, want: int) -> csr_array:
    """Return how much of each old pixel lies in each new one."""
    edges = np.arange(want + 1) * (have / want)
    low, high = edges[:-1, None], edges[1:, None]
    columns = np.floor(low).astype(int) + np.arange(int(np.ceil(have / want)) + 1)
    within = np.minimum(columns + 1, high) - np.maximum(columns, low)
    return _sparse(np.maximum(within, 0), columns, have)


def _filtered(have: int, want: int, *, kernel: Kernel, reach: int) -> csr_array:
    """Return the weights of a kernel about each new pixel's middle, widened where it shrinks."""
    step = have / want
    width = max(step, 1.0)
    middles = (np.arange(want)[:, None] + 0.5) * step
    offsets = np.arange(int(np.ceil(2 * reach * width)) + 1)
    columns = np.floor(middles - reach * width).astype(int) + offsets
    return _sparse(kernel(np.abs((columns + 0.5 - middles) / width)), columns, have)


def _tent(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1 - x, 0)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Keys' kernel with a = -0.5, as Pillow has it."""
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))  # noqa: PLR2004 - where it ends


def _sparse(
    weights: NDArray[np.float64], columns: NDArray[np.signedinteger], have: int
) -> csr_array:
    """Return rows of weights of sum 1, without those beyond the image."""
    weights = np.where((columns >= 0) & (columns < have), weights, 0)
    weights = weights / weights.sum(axis=1, keepdims=True)
    starts = np.arange(len(weights) + 1) * weights.shape[1]
    parts = (weights.ravel().astype(np.float32), columns.clip(0, have - 1).ravel(), starts)
    return csr_array(parts, shape=(len(weights), have))


_WEIGHTS: dict[str, Callable[[int, int], csr_array]] = {
    "area": _areas,
    "bilinear": partial(_filtered, kernel=_tent, reach=1),
    "bicubic": partial(_filtered, kernel=_cubic, reach=2),
}
