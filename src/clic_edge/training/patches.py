"""Patches cut from examples at random, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from clic_edge.training.augment import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from clic_edge.training.examples import Example

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutter:
    """Cuts patches; each place is drawn from one generator."""

    shape: Shape
    foreground: float
    """Share of patches with a labelled voxel in their middle."""
    rng: torch.Generator

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Return a patch of each example."""
        cuts = [self._cut(one) for one in examples]
        return Batch(
            images=torch.from_numpy(np.stack([image for image, _ in cuts])[:, None]),
            labels=torch.from_numpy(np.stack([label for _, label in cuts]).astype(np.int64)),
        )

    def _cut(self, example: Example) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return image and label at a random place, padded with 0 where there is none."""
        labelled = np.argwhere(example.label) if self._draws(self.foreground) else ()
        middle = labelled[self._below(len(labelled))] if len(labelled) else None
        places = [
            self._place(have, want, None if middle is None else int(middle[axis]))
            for axis, (have, want) in enumerate(zip(example.image.shape, self.shape, strict=True))
        ]
        source = tuple(there for there, _ in places)
        target = tuple(here for _, here in places)
        image = np.zeros(self.shape, np.float32)
        label = np.zeros(self.shape, np.uint8)
        image[target], label[target] = example.image[source], example.label[source]
        return image, label

    def _place(self, have: int, want: int, middle: int | None) -> tuple[slice, slice]:
        """Return which part of an axis is taken, and where it comes to lie in the patch."""
        spare = have - want
        if spare <= 0:
            first = self._below(1 - spare)
            return slice(0, have), slice(first, first + have)
        first = self._below(spare + 1) if middle is None else min(max(middle - want // 2, 0), spare)
        return slice(first, first + want), slice(0, want)

    def _below(self, count: int) -> int:
        return int(torch.randint(count, (1,), generator=self.rng))

    def _draws(self, share: float) -> bool:
        return share > 0 and float(torch.rand((), generator=self.rng)) < share


def fixed_patches(examples: Sequence[Example], shape: Shape, *, count: int) -> NDArray[np.float32]:
    """Return `count` patches (n, 1, x, y, z) of the examples in turn, the same at each run."""
    cutter = Cutter(shape=shape, foreground=0.5, rng=torch.Generator().manual_seed(0))
    chosen = [examples[number % len(examples)] for number in range(count)]
    patches: NDArray[np.float32] = cutter.batch(chosen).images.numpy()
    return patches


def random_windows(shape: Shape, *, seed: int, count: int = 2) -> NDArray[np.float32]:
    """Return windows (n, 1, x, y, z) of numbers between 0 and 1: anything, but always the same."""
    rng = np.random.default_rng(seed)
    windows: NDArray[np.float32] = rng.random((count, 1, *shape), np.float32)
    return windows
