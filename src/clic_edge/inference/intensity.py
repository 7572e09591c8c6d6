"""Intensity steps as data: what is done to a volume's values before the network sees them.

They are applied in the order in which the package lists them, in double precision. A step that
asks something of all values, such as their mean, is settled first: from then on every step works
voxel by voxel, and a volume is prepared slab by slab.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, Self

import numpy as np
from pydantic import Field, model_validator

from clic_edge.errors import Refusal
from clic_edge.inference.card import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

Percentile = Annotated[float, Field(ge=0, le=100)]

_SLAB = 1 << 20
"""Voxels that are prepared at once."""


class Applied(Protocol):
    """A step that needs to know nothing but the voxel."""

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values after the step."""
        ...


class Settling(Protocol):
    """Any step."""

    def settled(self, values: Callable[[], NDArray[np.float64]]) -> Applied:
        """Return what it does to each voxel; `values` makes those of the whole volume."""
        ...


class _Pointwise(Table):
    """A step that does the same whatever the volume."""

    def settled(self, values: Callable[[], NDArray[np.float64]]) -> Self:  # noqa: ARG002 - as said
        """Return the step itself."""
        return self


class _Ordered(Table):
    """A step with two ends."""

    @model_validator(mode="after")
    def _begins_below_its_end(self) -> Self:
        if getattr(self, "low") >= getattr(self, "high"):  # noqa: B009 - each step declares them
            raise ValueError("'low' must lie below 'high'")
        return self


class Clip(_Pointwise, _Ordered):
    """Values beyond an end become that end, in the volume's own unit."""

    step: Literal["clip"]
    low: float
    high: float

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values, none beyond an end."""
        return np.clip(values, self.low, self.high)


class ClipPercentiles(_Ordered):
    """The same at two percentiles of the volume itself, for images without a unit."""

    step: Literal["clip-percentiles"]
    low: Percentile
    high: Percentile
    above: float | None = None
    """Percentiles are those of the voxels above this value; None takes all."""

    def settled(self, values: Callable[[], NDArray[np.float64]]) -> Applied:
        """Return the window between the percentiles."""
        low, high = np.percentile(foreground(values(), self.above), (self.low, self.high))
        return _Between(low=float(low), high=float(high))


class Range(_Pointwise, _Ordered):
    """`low` becomes 0 and `high` becomes 1, and what lies beyond stays beyond."""

    step: Literal["range"]
    low: float
    high: float

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values on the new scale."""
        scaled: NDArray[np.float64] = (values - self.low) / (self.high - self.low)
        return scaled


class RangePercentiles(_Ordered):
    """The same at two percentiles of the volume itself; a constant volume becomes all zero."""

    step: Literal["range-percentiles"]
    low: Percentile
    high: Percentile
    above: float | None = None
    """Percentiles are those of the voxels above this value; None takes all."""

    def settled(self, values: Callable[[], NDArray[np.float64]]) -> Applied:
        """Return the scale between the percentiles."""
        low, high = np.percentile(foreground(values(), self.above), (self.low, self.high))
        return _Scale(zero=float(low), unit=float(high - low))


class WindowLevel(_Pointwise):
    """A window as DICOM spells it, from 0 to 1 (PS3.3 C.11.2.1.2.1, LINEAR)."""

    step: Literal["window"]
    centre: float
    """Window Center (0028,1050)."""
    width: Annotated[float, Field(gt=1)]
    """Window Width (0028,1051)."""

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values from 0, at the lower end of the window and below, to 1."""
        scaled = (values - (self.centre - 0.5)) / (self.width - 1) + 0.5
        return np.clip(scaled, 0, 1)


class ZScore(Table):
    """Mean 0 and standard deviation 1 over the volume; a constant volume becomes all zero."""

    step: Literal["z-score"]
    above: float | None = None
    """Mean and deviation are those of the voxels above this value, and the others become 0; None
    takes all."""

    def settled(self, values: Callable[[], NDArray[np.float64]]) -> Applied:
        """Return the scale of standard deviations from the mean."""
        told = foreground(values(), self.above)
        # The mean of a constant volume may differ from its values by rounding.
        unit = 0.0 if np.ptp(told) == 0 else float(told.std())
        return _Scale(zero=float(told.mean()), unit=unit, above=self.above)


class Normalise(_Pointwise):
    """Each channel of an image in standard deviations from a mean that the package gives."""

    step: Literal["normalise"]
    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    deviation: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values; the channels are the last axis of an image that has several."""
        mean, deviation = (one if len(one) > 1 else one[0] for one in (self.mean, self.deviation))
        scores: NDArray[np.float64] = (values - mean) / deviation
        return scores

    @model_validator(mode="after")
    def _gives_both_of_each(self) -> Self:
        if len(self.mean) != len(self.deviation):
            raise ValueError("give one 'deviation' for each 'mean'")
        return self


Step = Annotated[
    Clip | ClipPercentiles | Range | RangePercentiles | WindowLevel | Normalise | ZScore,
    Field(discriminator="step"),
]

INTENSITY_STEPS: dict[str, type[Table]] = {
    "clip": Clip,
    "clip-percentiles": ClipPercentiles,
    "range": Range,
    "range-percentiles": RangePercentiles,
    "window": WindowLevel,
    "normalise": Normalise,
    "z-score": ZScore,
}


def prepare(voxels: NDArray[np.generic], steps: Iterable[Settling]) -> NDArray[np.float32]:
    """Return what the network sees of the voxels, in C order.

    Raises Refusal ``foreground-missing``: a step asks for voxels above a value, and there is none.
    """
    seen = Prepared(voxels, steps)
    prepared = np.empty(voxels.shape, dtype=np.float32)
    rows = max(1, _SLAB * len(voxels) // max(voxels.size, 1))
    for first in range(0, len(voxels), rows):
        prepared[first : first + rows] = seen[first : first + rows]
    return prepared


class Prepared:
    """What the network sees of the voxels, worked out where somebody looks.

    So a window is on its way to the network long before the whole volume would be prepared, and
    the volume is held once only, as it came. Raises Refusal as `prepare`.
    """

    def __init__(self, voxels: NDArray[np.generic], steps: Iterable[Settling]) -> None:
        self._voxels = voxels
        self._settled: list[Applied] = []
        for step in steps:
            before = tuple(self._settled)
            self._settled.append(step.settled(partial(_after, voxels, before)))

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the voxels."""
        return self._voxels.shape

    def __getitem__(self, place: slice | tuple[slice, ...]) -> NDArray[np.float32]:
        """Return that part of what the network sees."""
        return _after(self._voxels[place], self._settled).astype(np.float32)


def foreground(values: NDArray[np.float64], above: float | None) -> NDArray[np.float64]:
    """Return the values above one, or all. Raises Refusal ``foreground-missing``."""
    if above is None:
        return values
    told = values[values > above]
    if not told.size:
        raise Refusal("foreground-missing", f"No voxel of the volume lies above {above:g}.")
    return told


def _after(voxels: NDArray[np.generic], steps: Iterable[Applied]) -> NDArray[np.float64]:
    values = np.asarray(voxels, dtype=np.float64)
    for step in steps:
        values = step.apply(values)
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Between:
    """Values beyond an end become that end."""

    low: float
    high: float

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(values, self.low, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """`zero` becomes 0, and so does what does not lie above; `unit` further up is 1."""

    zero: float
    unit: float
    above: float | None = None

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.unit == 0:
            return np.zeros_like(values)
        scaled: NDArray[np.float64] = (values - self.zero) / self.unit
        return scaled if self.above is None else np.where(values > self.above, scaled, 0)
