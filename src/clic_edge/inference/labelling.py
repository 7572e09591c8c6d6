"""From the probabilities of a network to the label of each of the volume's voxels.

Probabilities are brought back to the volume's grid class by class and compared there, so that a
border is as smooth as that grid. That is done as they come, a few planes at a time: they are held
on neither grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.inference.weights import touched, weighted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from clic_edge.inference.transforms import NetworkGrid
    from clic_edge.inference.weights import Weights

_PLANES = 8
"""Of probabilities that are held already, brought back at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The most probable class of each voxel."""

    label_map: NDArray[np.uint8] = field(repr=False)
    """Shape (slices, rows, columns); 0 is background, and all that the network did not see."""
    mean_probability: tuple[float, ...]
    """Of each class, background first, over the voxels that have it; 0 where none has."""


def labelled(slabs: Iterable[NDArray[np.float32]], grid: NetworkGrid, *, classes: int) -> Labelled:
    """Return the labels for probabilities on the network's grid, background first.

    They come as slabs (classes, some x, y, z), from the first x to the last; thin ones take
    little memory.
    """
    labels = np.zeros([grid.source_shape[axis] for axis in np.argsort(grid.axes)], dtype=np.uint8)
    by_network = grid.seen(labels)
    first, *others = grid.back()
    counts, sums = np.zeros(classes), np.zeros(classes)
    for rows, planes in _brought_back(slabs, first):
        found, best = _most_probable(planes, others)
        by_network[rows] = found
        counts += np.bincount(found.ravel(), minlength=classes)
        sums += np.bincount(found.ravel(), best.ravel(), minlength=classes)
    return Labelled(label_map=labels, mean_probability=_means(sums, counts))


def label_map(probabilities: Iterable[NDArray[np.float32]], grid: NetworkGrid) -> Labelled:
    """Return the labels for the probabilities of all classes on the network's grid."""
    held = np.stack([*probabilities])
    slabs = (held[:, first : first + _PLANES] for first in range(0, held.shape[1], _PLANES))
    return labelled(slabs, grid, classes=len(held))


def mean_by_label(
    probability: NDArray[np.floating], label_map: NDArray[np.integer], *, classes: int
) -> tuple[float, ...]:
    """Return the mean for each label from 0, over the voxels that have it; 0 where none has."""
    labels = label_map.ravel()
    sums = np.bincount(labels, probability.ravel(), minlength=classes)
    return _means(sums, np.bincount(labels, minlength=classes))


def _means(sums: NDArray[np.number], counts: NDArray[np.number]) -> tuple[float, ...]:
    return tuple(float(one) for one in np.divide(sums, np.maximum(counts, 1)))


def _brought_back(
    slabs: Iterable[NDArray[np.float32]], weights: Weights | None
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield planes (classes, some, y, z) of the volume's grid along the first axis, and which.

    Each is made as soon as the last plane that it needs has come. What the network did not see
    is left out.
    """
    if weights is None:
        yield from _numbered(slabs)
        return
    seen = np.flatnonzero(weights.any(axis=1))
    needs = [touched(row[None]) for row in weights[seen]]
    row, last = int(seen[0]), int(seen[-1]) + 1
    needed = dict(zip(range(row, last), needs, strict=True))
    held, begin = None, 0
    for places, piece in _numbered(slabs):
        held = piece.copy() if held is None else np.concatenate([held, piece], axis=1)
        ready = row
        while ready < last and needed[ready].stop <= places.stop:
            ready += 1
        if ready > row:
            part = weights[row:ready, begin : places.stop]
            yield slice(row, ready), np.stack([weighted(one, part, 0) for one in held])
        row = ready
        first = min(needed[row].start, places.stop) if row < last else places.stop
        held, begin = held[:, first - begin :], first


def _numbered(
    slabs: Iterable[NDArray[np.float32]],
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield the slabs, and which planes they are."""
    begin = 0
    for slab in slabs:
        yield slice(begin, begin + slab.shape[1]), slab
        begin += slab.shape[1]


def _most_probable(
    planes: NDArray[np.float32], others: Iterable[Weights | None]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the class of each voxel and its probability, with the other axes brought back too."""
    classes = (_along_planes(one, others) for one in planes)
    best = np.array(next(classes))
    found = np.zeros(best.shape, dtype=np.uint8)
    for number, candidate in enumerate(classes, start=1):
        found[candidate > best] = number
        np.maximum(best, candidate, out=best)
    return found, best


def _along_planes(
    values: NDArray[np.float32], others: Iterable[Weights | None]
) -> NDArray[np.float32]:
    for axis, weights in enumerate(others, start=1):
        values = values if weights is None else weighted(values, weights, axis)
    return values
