"""What a geometric step does along one axis, and how it is undone.

Whatever a step does, it does along each axis for itself. So a grid is three lists of these, they
can be applied to voxels as they lie in memory, and the way back is one matrix for each axis.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from clic_edge.inference.weights import weighted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from clic_edge.inference.weights import Weights


class AxisMap(Protocol):
    """From the voxels before a step to those after it, along one axis."""

    @property
    def count(self) -> int:
        """Voxels after the step."""
        ...

    @property
    def step(self) -> float:
        """Distance of two voxels after the step, in voxels before it."""
        ...

    @property
    def first(self) -> float:
        """Where the middle of the first voxel lies, in voxels before the step."""
        ...

    def apply(
        self, values: NDArray[np.float32], axis: int, *, is_mask: bool
    ) -> NDArray[np.float32]:
        """Return the values after the step; a mask is padded with 0."""
        ...

    def back(self) -> Weights:
        """Return the weights (before, after) that bring a probability back.

        A voxel that no voxel after the step stands for has a row of zeros.
        """
        ...

    def mirrored(self) -> Self:
        """Return the same for an axis that runs the other way."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Voxels of another size: resampled there by one set of weights, and back by another."""

    there: Weights = field(repr=False)
    again: Weights = field(repr=False)
    step: float
    first: float
    is_even: bool = False
    """Whether it is the same from both ends, so that turning it round need not cost a rounding."""

    @property
    def count(self) -> int:
        """Voxels after the step."""
        return len(self.there)

    def apply(
        self,
        values: NDArray[np.float32],
        axis: int,
        *,
        is_mask: bool,  # noqa: ARG002 - the voxels of a mask are shares, and are weighed alike
    ) -> NDArray[np.float32]:
        """Return the values after the step."""
        return weighted(values, self.there, axis)

    def back(self) -> Weights:
        """Return the weights that bring a probability back."""
        return self.again

    def mirrored(self) -> Self:
        """Return the same for an axis that runs the other way."""
        if self.is_even:
            return self
        before = self.there.shape[1]
        first = before - 1 - self.first - (self.count - 1) * self.step
        return replace(
            self, there=self.there[::-1, ::-1], again=self.again[::-1, ::-1], first=first
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifted:
    """The same voxels, fewer or more of them: cropped where `start` lies inside, else padded."""

    before: int
    start: int
    """Where the first voxel after the step lies among those before it; below 0 it is new."""
    count: int
    padding: float = 0.0

    @property
    def step(self) -> float:
        """A voxel stays as large as it is."""
        return 1.0

    @property
    def first(self) -> float:
        """Where the first voxel lies."""
        return float(self.start)

    def apply(
        self, values: NDArray[np.float32], axis: int, *, is_mask: bool
    ) -> NDArray[np.float32]:
        """Return the values after the step; what is new is `padding`."""
        shape = list(values.shape)
        shape[axis] = self.count
        found = np.full(shape, 0 if is_mask else self.padding, dtype=np.float32)
        kept = self._kept
        around = (slice(None),) * axis
        new = slice(kept.start - self.start, kept.stop - self.start)
        found[(*around, new)] = values[(*around, kept)]
        return found

    def back(self) -> Weights:
        """Return the weights that bring a probability back."""
        return np.eye(self.before, self.count, -self.start, dtype=np.float32)

    def mirrored(self) -> Self:
        """Return the same for an axis that runs the other way."""
        return replace(self, start=self.before - self.start - self.count)

    @property
    def _kept(self) -> slice:
        return slice(max(self.start, 0), min(self.start + self.count, self.before))


def combined_back(maps: Iterable[AxisMap | None]) -> Weights | None:
    """Return the weights from after all maps to before the first; None where nothing changes."""
    combined: Weights | None = None
    for one in maps:
        if one:
            combined = one.back() if combined is None else combined @ one.back()
    return combined
