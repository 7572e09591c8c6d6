"""Where a picture shows text: detected, not read.

A convolutional network of some 25,000 weights, run in numpy, marks cells of 4 x 4 pixels that
belong to lines of text of 8 to 40 pixels, any script, any direction. Larger pictures are looked at
in halved sizes as well. How it was trained stands in ``models/text-areas``, what it finds and
what it misses in ``benchmarks/BURNED_IN.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

CELL = 4
WINDOW = 33
"""Pixels over which brightness is evened out; wider than a letter."""
FAINT = 0.02
"""Share of a picture's range that is noise at most: where nothing varies more, nothing is seen."""
SEED, GROWN = (0.8, 0.9), (0.13, 0.35)
"""An area is text where one cell is this likely, and goes as far as cells are that likely.

The second of each is for pictures in less than their full size.
"""
SMALLEST = 6
"""Cells; a smaller area holds no two letters."""
BLOCK = 512
"""Cells convolved at a time: they stay in the cache, and BLAS starts no threads for them."""
LARGEST_SIDE = 400
"""Pixels of the shorter side beyond which a picture is also looked at in half its size."""
GRAY = 24
"""Difference between the colours of a pixel, of 255, up to which a picture is gray."""
_LEAST = 1e-3
_AROUND = np.ones((3, 3), bool)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    weights: NDArray[np.float32]
    """Shape (taps, out, in), taps row by row."""
    bias: NDArray[np.float32]
    dilation: int


@cache
def _layers() -> tuple[_Layer, ...]:
    with (files("clic_edge.deid") / "textareas.npz").open("rb") as stored:
        arrays = np.load(stored)
        return tuple(
            _Layer(
                weights=arrays[f"weights{number}"].astype(np.float32),
                bias=arrays[f"bias{number}"].astype(np.float32)[:, None],
                dilation=int(dilation),
            )
            for number, dilation in enumerate(arrays["dilations"])
        )


def text_areas(
    frame: NDArray[np.number], blanked: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Return which pixels of a frame belong to lines of text, shape (rows, columns).

    `frame` is of one sample a pixel, of any range, or of three: red, green and blue. What is
    `blanked` already is seen as its surroundings, so that its edges are not taken for strokes.
    """
    rows, columns = frame.shape[:2]
    hidden = np.zeros((rows, columns), bool) if blanked is None else blanked
    found = np.zeros((rows, columns), bool)
    for plane in planes(frame):
        for level, (smaller, covered) in enumerate(_sizes(plane, hidden)):
            pixels = CELL << level
            cells = _marked(likelihood(smaller, covered), is_halved=level > 0)
            found |= cells.repeat(pixels, 0).repeat(pixels, 1)[:rows, :columns]
    return found


def _sizes(
    plane: NDArray[np.number], blanked: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.number], NDArray[np.bool_]]]:
    """Yield a plane and what is blanked of it, and halved until letters of any size are small."""
    yield plane, blanked
    if min(plane.shape) > LARGEST_SIDE:
        yield from _sizes(_halved(plane), _halved(blanked.astype(np.float32)) > 0)


def planes(frame: NDArray[np.number]) -> Sequence[NDArray[np.number]]:
    """Return what a frame is looked at in: brightness and, where it has colour, how much of it."""
    if frame.ndim == 2:  # noqa: PLR2004 - rows and columns
        return (frame,)
    strength = frame.max(axis=2) - frame.min(axis=2)
    brightness: NDArray[np.number] = (frame @ _LUMA).astype(np.float32)
    is_gray = int(strength.max()) <= GRAY << 8 * (frame.dtype.itemsize - 1)
    return (brightness,) if is_gray else (brightness, strength)


def _halved(plane: NDArray[np.number]) -> NDArray[np.float32]:
    even = np.pad(plane.astype(np.float32), [(0, side % 2) for side in plane.shape], mode="edge")
    four = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return np.asarray(four / np.float32(4), np.float32)


def _marked(likely: NDArray[np.float32], *, is_halved: bool) -> NDArray[np.bool_]:
    """Return the cells of every area that is text; in full size those beside it as well."""
    grown = likely >= GROWN[is_halved]
    labels, count = ndimage.label(grown, _AROUND)
    if not count:
        return grown
    most = ndimage.maximum(likely, labels, np.arange(count + 1))
    is_text = (most >= SEED[is_halved]) & (np.bincount(labels.ravel()) >= SMALLEST)
    is_text[0] = False
    marked: NDArray[np.bool_] = is_text[labels]
    return marked if is_halved else np.asarray(ndimage.binary_dilation(marked), bool)


def evened(
    plane: NDArray[np.number], blanked: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return a picture of any range as -3 to 3: each pixel against its surroundings."""
    field = plane.astype(np.float32)
    kept = None if blanked is None or not blanked.any() else ~blanked
    visible = field if kept is None else field[kept]
    spread = float(np.ptp(visible)) if visible.size else 0.0
    if not spread:
        return np.zeros(field.shape, np.float32)
    field = (field - visible.min()) / spread
    share: NDArray[np.float32] | float = 1.0
    if kept is not None:
        field *= kept
        share = np.maximum(_averaged(kept.astype(np.float32)), _LEAST)
    mean = _averaged(field) / share
    deviation = np.sqrt(np.maximum(_averaged(field * field) / share - mean * mean, 0))
    even = np.clip((field - mean) / (deviation + FAINT), -3, 3)
    return np.asarray(even if kept is None else even * kept, np.float32)


def _averaged(field: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ndimage.uniform_filter(field, WINDOW, mode="nearest"))


def likelihood(
    plane: NDArray[np.number], blanked: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return how likely each cell of a picture shows text, shape (rows / 4, columns / 4) rounded up."""
    field = evened(plane, blanked)
    field = np.pad(field, [(0, -side % CELL) for side in field.shape], mode="edge")
    rows, columns = (side // CELL for side in field.shape)
    cells = field.reshape(rows, CELL, columns, CELL).transpose(1, 3, 0, 2)
    values = np.ascontiguousarray(cells.reshape(CELL * CELL, rows, columns))
    *inner, last = _layers()
    for layer in inner:
        values = np.maximum(_convolved(values, layer), 0)
    return np.asarray(1 / (1 + np.exp(-_convolved(values, last)[0])), np.float32)


def _convolved(values: NDArray[np.float32], layer: _Layer) -> NDArray[np.float32]:
    """Return a convolution of 3 x 3 taps, or of one, over (channels, rows, columns)."""
    channels, rows, columns = values.shape
    if len(layer.weights) == 1:
        flat = layer.weights[0] @ values.reshape(channels, -1) + layer.bias
        return np.asarray(flat.reshape(-1, rows, columns), np.float32)
    by = layer.dilation
    padded = np.pad(values, ((0, 0), (by, by + 1), (by, by)))
    wide = columns + 2 * by
    # In the flat picture a tap is an offset; what wraps around lands in the padding.
    flat = padded.reshape(channels, -1)
    size = rows * wide
    total = np.empty((len(layer.bias), size), np.float32)
    for first in range(0, size, BLOCK):
        part = total[:, first : first + BLOCK]
        part[:] = layer.bias
        for number, weights in enumerate(layer.weights):
            start = first + (number // 3) * by * wide + (number % 3) * by
            part += weights @ flat[:, start : start + part.shape[1]]
    return np.asarray(total.reshape(-1, rows, wide)[:, :, :columns], np.float32)
