"""Intensity steps as data: what is done to a volume's values before the network sees them.

They are applied in the order in which the package lists them, in double precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol, Self

import numpy as np
from pydantic import Field, model_validator

from clic_edge.inference.card import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Percentile = Annotated[float, Field(ge=0, le=100)]


class _Range(Table):
    """A step with two ends."""

    @model_validator(mode="after")
    def _begins_below_its_end(self) -> Self:
        if getattr(self, "low") >= getattr(self, "high"):  # noqa: B009 - each step declares them
            raise ValueError("'low' must lie below 'high'")
        return self


class Clip(_Range):
    """Values beyond an end become that end, in the volume's own unit: a window."""

    step: Literal["clip"]
    low: float
    high: float

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values, none beyond an end."""
        return np.clip(values, self.low, self.high)


class ClipPercentiles(_Range):
    """The same at two percentiles of the volume itself, for images without a unit."""

    step: Literal["clip-percentiles"]
    low: Percentile
    high: Percentile

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values, none beyond the percentiles of all."""
        low, high = np.percentile(values, (self.low, self.high))
        return np.clip(values, low, high)


class Range(_Range):
    """`low` becomes 0 and `high` becomes 1, and what lies beyond stays beyond."""

    step: Literal["range"]
    low: float
    high: float

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values on the new scale."""
        scaled: NDArray[np.float64] = (values - self.low) / (self.high - self.low)
        return scaled


class ZScore(Table):
    """Mean 0 and standard deviation 1 over the volume; a constant volume becomes all zero."""

    step: Literal["z-score"]

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values in standard deviations from their mean."""
        if np.ptp(values) == 0:  # its mean may differ from its values by rounding
            return np.zeros_like(values)
        scores: NDArray[np.float64] = (values - values.mean()) / values.std()
        return scores


class Normalise(Table):
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


class Applied(Protocol):
    """What every step does."""

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values after the step."""
        ...


Step = Annotated[Clip | ClipPercentiles | Range | ZScore, Field(discriminator="step")]
"""Of a volume."""
ImageStep = Annotated[
    Clip | ClipPercentiles | Range | ZScore | Normalise, Field(discriminator="step")
]
"""Of an image."""


def prepare(voxels: NDArray[np.generic], steps: Iterable[Applied]) -> NDArray[np.float32]:
    """Return what the network sees of the voxels."""
    values = np.asarray(voxels, dtype=np.float64)
    for step in steps:
        values = step.apply(values)
    prepared: NDArray[np.float32] = values.astype(np.float32)
    return prepared
