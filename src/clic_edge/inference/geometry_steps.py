"""Geometry steps as data: what lays a volume out for the network, in order, before the values.

Each is worked out for one volume as a map along each of the network's axes (`axis_maps`), which
has an exact way back: results lie on the volume's own grid, whatever the steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from clic_edge.errors import Refusal
from clic_edge.inference.axis_maps import Shifted, Weighed
from clic_edge.inference.card import Table
from clic_edge.inference.weights import Order, means, spline

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from clic_edge.inference.axis_maps import AxisMap

    Maps = tuple[AxisMap | None, ...]
    """By the network's axes; None where nothing changes."""

Size = Annotated[int, Field(gt=0, le=4096)]
Shape = tuple[Size, Size, Size]

_SAME_SHARE = 0.05
"""Relative difference in spacing that `average` leaves alone."""
_SAME_MM = 1e-3
"""Difference in spacing that `resample` leaves alone, as MONAI does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a step finds; everything is by the network's axes."""

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    wanted_mm: tuple[float, ...]
    """Spacing that the network was made for."""
    image: Callable[[], NDArray[np.float32]]
    """Makes the values, in the volume's unit; it takes time."""


class Orient(Table):
    """Axes are permuted and turned round to where ``orientation`` points. Always the first step."""

    step: Literal["orient"]

    def maps(self, before: Before) -> Maps:
        """Return no change: how the axes lie is settled before all else."""
        return (None,) * len(before.shape)


class Average(Table):
    """To ``spacing_mm``, over the same extent; a new voxel is the mean over its own.

    Spacing within 5 % is left alone. It smooths as much as going coarser needs.
    """

    step: Literal["average"]

    def maps(self, before: Before) -> Maps:
        """Return the change of each axis."""
        triples = zip(before.shape, before.spacing_mm, before.wanted_mm, strict=True)
        return tuple(_averaged(count, have, want) for count, have, want in triples)


class Resample(Table):
    """To ``spacing_mm`` exactly; the middle of the first voxel stays where it is (MONAI Spacing)."""

    step: Literal["resample"]
    order: Order = 1
    """Of the spline: 0 nearest, 1 linear, 3 cubic."""
    anti_alias: bool = False
    """Smooth first by a Gaussian of (step - 1) / 2 old voxels where it goes coarser."""

    def maps(self, before: Before) -> Maps:
        """Return the change of each axis."""
        triples = zip(before.shape, before.spacing_mm, before.wanted_mm, strict=True)
        return tuple(self._map(count, have, want) for count, have, want in triples)

    def _map(self, have: int, have_mm: float, want_mm: float) -> AxisMap | None:
        if abs(have_mm - want_mm) <= _SAME_MM:
            return None
        step = want_mm / have_mm
        want = max(1, round((have - 1) / step + 1))
        return _splined(self, have, want, step=step, first=0.0)


class Resize(Table):
    """To a shape, over the same extent, whatever the spacing becomes (MONAI Resize)."""

    step: Literal["resize"]
    shape: Annotated[Shape, Field(strict=False)]
    """Voxels along the network's axes."""
    order: Order = 1
    """Of the spline: 0 nearest, 1 linear, 3 cubic."""
    anti_alias: bool = False
    """Smooth first by a Gaussian of (step - 1) / 2 old voxels where it goes coarser."""

    def maps(self, before: Before) -> Maps:
        """Return the change of each axis."""
        return tuple(
            None
            if have == want
            else _splined(self, have, want, step=have / want, first=(have / want - 1) / 2)
            for have, want in zip(before.shape, self.shape, strict=True)
        )


class CropForeground(Table):
    """The smallest box that holds every voxel above a value, and a margin, within the volume."""

    step: Literal["crop-foreground"]
    above: float
    """In the volume's unit."""
    margin_mm: Annotated[float, Field(ge=0)] = 0.0

    def maps(self, before: Before) -> Maps:
        """Return the change of each axis.

        Raises Refusal ``foreground-missing``: no voxel lies above.
        """
        inside = before.image() > self.above
        if not inside.any():
            raise Refusal(
                "foreground-missing", f"No voxel of the volume lies above {self.above:g}."
            )
        axes = range(inside.ndim)
        return tuple(
            self._map(
                np.asarray(inside.any(axis=tuple(other for other in axes if other != axis))),
                margin=math.ceil(self.margin_mm / before.spacing_mm[axis]),
            )
            for axis in axes
        )

    def _map(self, inside: NDArray[np.bool_], *, margin: int) -> AxisMap | None:
        places = np.flatnonzero(inside)
        start = max(int(places[0]) - margin, 0)
        stop = min(int(places[-1]) + 1 + margin, inside.size)
        return _shifted(inside.size, start, stop - start)


class Pad(Table):
    """At least a shape, or whole multiples, the same on both sides (MONAI SpatialPad, DivisiblePad)."""

    step: Literal["pad"]
    shape: Annotated[Shape | None, Field(strict=False)] = None
    """Least number of voxels along the network's axes."""
    multiple: Size | None = None
    """Each axis becomes a whole multiple of it."""
    value: float = 0.0
    """Of the new voxels, in the volume's unit: -1024 is air in CT."""

    @model_validator(mode="after")
    def _says_how_far(self) -> Self:
        if (self.shape is None) == (self.multiple is None):
            raise ValueError("give either 'shape' or 'multiple'")
        return self

    def maps(self, before: Before) -> Maps:
        """Return the change of each axis."""
        counts = [self._count(axis, have) for axis, have in enumerate(before.shape)]
        return tuple(
            _shifted(have, -((want - have) // 2), want, padding=self.value)
            for have, want in zip(before.shape, counts, strict=True)
        )

    def _count(self, axis: int, have: int) -> int:
        if self.multiple:
            return math.ceil(have / self.multiple) * self.multiple
        return max(have, self.shape[axis]) if self.shape else have


GeometryStep = Annotated[
    Orient | Average | Resample | CropForeground | Resize | Pad, Field(discriminator="step")
]
GEOMETRY_STEPS: dict[str, type[Table]] = {
    "orient": Orient,
    "average": Average,
    "resample": Resample,
    "crop-foreground": CropForeground,
    "resize": Resize,
    "pad": Pad,
}

AS_EVER = (Orient(step="orient"), Average(step="average"))
"""What is done where a package lists no step."""


def begins_with_orient(steps: tuple[GeometryStep, ...]) -> tuple[GeometryStep, ...]:
    """Return the steps. Raises ValueError where they don't begin with their only ``orient``."""
    if steps and [one.step == "orient" for one in steps] != [True] + [False] * (len(steps) - 1):
        raise ValueError(
            "begin with the step 'orient', and give it once: the others go by its axes"
        )
    return steps


def _averaged(have: int, have_mm: float, want_mm: float) -> AxisMap | None:
    if abs(have_mm / want_mm - 1) <= _SAME_SHARE:
        return None
    want = max(1, round(have * have_mm / want_mm))
    if want == have:
        return None
    step = have / want
    return Weighed(
        there=means(have, want, step=step, first_edge=-0.5),
        again=means(want, have, step=want / have, first_edge=-0.5),
        step=step,
        first=(step - 1) / 2,
        is_even=True,
    )


def _splined(how: Resample | Resize, have: int, want: int, *, step: float, first: float) -> AxisMap:
    return Weighed(
        there=spline(
            have, want, step=step, first=first, order=how.order, anti_alias=how.anti_alias
        ),
        again=means(want, have, step=1 / step, first_edge=(-0.5 - first) / step),
        step=step,
        first=first,
    )


def _shifted(have: int, start: int, want: int, *, padding: float = 0.0) -> AxisMap | None:
    if have == want and start == 0:
        return None
    return Shifted(before=have, start=start, count=want, padding=padding)
