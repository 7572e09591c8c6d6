"""From a volume's grid to the network's, and back.

Axes are only permuted and turned round, to the orientation nearest to the one that the network
knows, so that the way back is exact. What else is done is the package's list of geometry steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from clic_edge.inference.axis_maps import combined_back
from clic_edge.inference.geometry_steps import AS_EVER, Before
from clic_edge.inference.weights import weighted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.volume import Geometry
    from clic_edge.inference.geometry_steps import GeometryStep, Maps
    from clic_edge.inference.volume_input import Input
    from clic_edge.inference.weights import Weights

_T = TypeVar("_T", bound=np.generic)

PATIENT_AXES = {"L": (0, 1), "P": (1, 1), "S": (2, 1), "R": (0, -1), "A": (1, -1), "I": (2, -1)}
"""Letter of an orientation: axis of the patient's coordinates (LPS), and which way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkGrid:
    """How a volume's voxels are laid out for a network.

    Everything is by the network's axes.
    """

    axes: tuple[int, ...]
    """The volume's axis that becomes each of the network's."""
    turned: tuple[bool, ...]
    """Whether it runs the other way."""
    tilt_deg: float
    """Greatest angle between an axis of the volume and the network's axis that it becomes."""
    source_spacing_mm: tuple[float, ...]
    source_shape: tuple[int, ...]
    steps: tuple[Maps, ...] = ()
    """What each geometry step does along the axes."""

    @property
    def extent_mm(self) -> tuple[float, ...]:
        """How far the volume reaches along the network's axes."""
        pairs = zip(self.source_shape, self.source_spacing_mm, strict=True)
        return tuple(count * step for count, step in pairs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels that the network is given."""
        counts = list(self.source_shape)
        for maps in self.steps:
            counts = [one.count if one else have for one, have in zip(maps, counts, strict=True)]
        return tuple(counts)

    @property
    def places(self) -> tuple[tuple[float, float], ...]:
        """For each axis, where the first voxel's middle lies and how far apart two are.

        Both in the volume's own voxels, along the network's axis.
        """
        found = [(0.0, 1.0)] * len(self.axes)
        for maps in self.steps:
            found = [
                (first + step * one.first, step * one.step) if one else (first, step)
                for one, (first, step) in zip(maps, found, strict=True)
            ]
        return tuple(found)

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance of the voxels that the network is given."""
        pairs = zip(self.source_spacing_mm, self.places, strict=True)
        return tuple(have * step for have, (_, step) in pairs)

    def affine(self, geometry: Geometry) -> NDArray[np.float64]:
        """Return (4, 4): from the network's voxels (x, y, z, 1) to patient millimetres in LPS.

        `geometry` is that of the volume that the grid was made for.
        """
        to_source = np.zeros((4, 4))
        to_source[3, 3] = 1
        for axis, (source, (first, step)) in enumerate(zip(self.axes, self.places, strict=True)):
            way = -1 if self.turned[axis] else 1
            begin = self.source_shape[axis] - 1 if self.turned[axis] else 0
            to_source[source, axis] = way * step
            to_source[source, 3] = begin + way * first
        affine: NDArray[np.float64] = geometry.affine @ to_source
        return affine

    def to_network(self, voxels: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return voxels (slices, rows, columns) on the network's grid.

        A mask (bool) becomes the share of each voxel, and is padded with 0.
        """
        return self.seen(self._after_steps(voxels).astype(np.float32))

    def lazily(self, voxels: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the same, but where no step changes them the voxels themselves, in their type."""
        return self.seen(self._after_steps(voxels))

    def seen(self, values: NDArray[_T]) -> NDArray[_T]:
        """Return a view of values (slices, rows, columns) by the network's axes."""
        return values.transpose(self.axes)[self._turns()]

    def _after_steps(self, voxels: NDArray[np.generic]) -> NDArray[np.generic]:
        values, is_mask = voxels, voxels.dtype == np.bool_
        # Resampled as they lie in memory: turning the axes of the finer grid takes far longer.
        for maps in self.steps:
            for axis, one in enumerate(self._as_they_lie(maps)):
                if one:
                    values = one.apply(values.astype(np.float32, copy=False), axis, is_mask=is_mask)
        return values

    def to_source(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values on the network's grid as (slices, rows, columns); 0 where it saw nothing."""
        values = np.ascontiguousarray(values[self._turns()].transpose(np.argsort(self.axes)))
        lying = [self._as_they_lie(maps) for maps in self.steps]
        for axis in range(values.ndim):
            weights = combined_back([maps[axis] for maps in lying])
            values = values if weights is None else weighted(values, weights, axis)
        return values

    def back(self) -> tuple[Weights | None, ...]:
        """Return the weights that bring values back along each of the network's axes."""
        return tuple(
            combined_back([maps[axis] for maps in self.steps]) for axis in range(len(self.axes))
        )

    def after(
        self, step: GeometryStep, voxels: NDArray[np.generic], *, wanted_mm: tuple[float, ...]
    ) -> NetworkGrid:
        """Return the grid with one step more. Raises Refusal as the step does."""
        before = Before(
            shape=self.shape,
            spacing_mm=self.spacing_mm,
            wanted_mm=wanted_mm,
            image=lambda: self.to_network(voxels),
        )
        return replace(self, steps=(*self.steps, step.maps(before)))

    def _as_they_lie(self, maps: Maps) -> Maps:
        """Return the maps by the volume's own axes."""
        turned = [
            one.mirrored() if one and turned else one
            for one, turned in zip(maps, self.turned, strict=True)
        ]
        return tuple(turned[place] for place in np.argsort(self.axes))

    def _turns(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if turned else 1) for turned in self.turned)


def network_grid(
    geometry: Geometry, *, orientation: str, spacing_mm: tuple[float, ...]
) -> NetworkGrid:
    """Return the grid, averaged to `spacing_mm`, of a network whose axes point to `orientation`.

    An orientation is e.g. ``RAS``: right, anterior, superior.
    """
    nothing = np.empty(0)
    grid = oriented(geometry, orientation)
    for step in AS_EVER:
        grid = grid.after(step, nothing, wanted_mm=spacing_mm)
    return grid


def laid_out(voxels: NDArray[np.generic], geometry: Geometry, declared: Input) -> NetworkGrid:
    """Return the grid on which a network gets `voxels` after the geometry steps of its package.

    Raises Refusal ``foreground-missing``.
    """
    grid = oriented(geometry, declared.orientation)
    for step in declared.geometry or AS_EVER:
        grid = grid.after(step, voxels, wanted_mm=declared.spacing_mm)
    return grid


def oriented(geometry: Geometry, orientation: str) -> NetworkGrid:
    """Return the grid whose axes point to `orientation`, its voxels still the volume's own."""
    steps = geometry.affine[:3, :3] / geometry.spacing_mm
    towards = np.array([PATIENT_AXES[c][1] * steps[PATIENT_AXES[c][0]] for c in orientation])
    axes = max(permutations(range(3)), key=lambda p: float(np.abs(towards[range(3), p]).sum()))
    cosines = towards[range(3), axes]
    return NetworkGrid(
        axes=axes,
        turned=tuple(bool(cosine < 0) for cosine in cosines),
        tilt_deg=float(np.degrees(np.arccos(np.clip(np.abs(cosines), 0, 1).min()))),
        source_spacing_mm=tuple(geometry.spacing_mm[axis] for axis in axes),
        source_shape=tuple(geometry.shape[axis] for axis in axes),
    )
