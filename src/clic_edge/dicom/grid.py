"""Ordered planes to one regular grid, or the reason why they are none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.volume import Geometry
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from clic_edge.dicom.planes import Plane
    from clic_edge.dicom.policy import VolumePolicy

TOLERANCE_MM = 0.1
"""A slice may lie this far from its place in the regular grid: positions are rounded."""
TOLERANCE_SHARE = 0.05
"""The same as a share of the slice spacing; the smaller one counts."""
TILT_DEGREES = 1.0
"""Up to this angle, and half a pixel over the stack, a tilt is the rounding of positions."""


def fit_grid(planes: Sequence[Plane], policy: VolumePolicy) -> Geometry:
    """Return the grid on which the planes lie; they are sorted along their common normal.

    The affine follows PS3.3 C.7.6.2.1.1 in the plane. Its slice step is the step between the
    positions themselves, fitted over all slices, so that a tilted stack is placed exactly.

    Raises
    ------
    Refusal
        ``gantry-tilt``, ``missing-slices``, ``uneven-spacing`` or ``misaligned-slices``.

    """
    first = planes[0]
    positions = np.array([plane.position for plane in planes])
    depths = positions @ first.normal
    if policy.gantry_tilt == "refuse":
        _refuse_tilt(first, positions, depths)
    spacing = _even_spacing(np.diff(depths))
    origin, step = _fit_line(np.arange(len(planes)), positions)
    off_grid = positions - origin - np.outer(np.arange(len(planes)), step)
    _refuse_off_grid(off_grid, first.normal, spacing)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = first.column * first.pixel_spacing[0]
    affine[:3, 2] = first.row * first.pixel_spacing[1]
    affine[:3, 3] = origin
    affine.flags.writeable = False
    return Geometry(affine=affine, shape=(len(planes), *first.shape))


def _fit_line(
    places: NDArray[np.number], positions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return origin and step of the least-squares line ``positions = origin + places * step``."""
    centred = places - places.mean()
    mean = positions.mean(axis=0)
    step = centred @ (positions - mean) / (centred @ centred)
    return mean - places.mean() * step, step


def _refuse_tilt(first: Plane, positions: NDArray[np.float64], depths: NDArray[np.float64]) -> None:
    _, direction = _fit_line(depths, positions)
    drift_per_mm = float(np.linalg.norm(direction - first.normal))
    degrees = math.degrees(math.atan(drift_per_mm))
    drift = drift_per_mm * float(depths[-1] - depths[0])
    if degrees > TILT_DEGREES or drift > min(first.pixel_spacing) / 2:
        raise Refusal(
            "gantry-tilt",
            f"the line through the slices leans {degrees:.1f} degrees from their normal, "
            f"{drift:.1f} mm over the stack",
        )


def _even_spacing(steps: NDArray[np.float64]) -> float:
    """Return the median of the steps, or refuse those that are not one spacing."""
    smallest = float(steps.min())
    # Gaps must not enter the spacing by which they are measured.
    spacing = float(np.median(steps[steps < 1.5 * smallest]))
    multiples = np.rint(steps / spacing)
    gaps = np.flatnonzero(multiples > 1)
    off = np.abs(steps - multiples * spacing).max()
    # Where most steps are gaps, the scanner changed its spacing and nothing was lost.
    if off > 2 * _tolerance(spacing) or 2 * gaps.size > steps.size:
        raise Refusal(
            "uneven-spacing",
            f"neighbouring slices lie from {smallest:.2f} to {steps.max():.2f} mm apart",
        )
    if gaps.size:
        after = int(gaps[0])
        raise Refusal(
            "missing-slices",
            f"{int((multiples - 1).sum())} missing, the first after slice {after + 1} of "
            f"{len(steps) + 1}: {steps[after]:.2f} mm where neighbours lie {spacing:.2f} mm apart",
        )
    return spacing


def _refuse_off_grid(
    off_grid: NDArray[np.float64], normal: NDArray[np.float64], spacing: float
) -> None:
    along = np.abs(off_grid @ normal).max()
    across = np.linalg.norm(off_grid - np.outer(off_grid @ normal, normal), axis=1).max()
    tolerance = _tolerance(spacing)
    if along > tolerance:
        raise Refusal(
            "uneven-spacing",
            f"a slice lies {along:.2f} mm from its place at {spacing:.2f} mm spacing",
        )
    if across > tolerance:
        raise Refusal("misaligned-slices", f"a slice lies {across:.2f} mm beside the stack")


def _tolerance(spacing: float) -> float:
    return min(TOLERANCE_MM, TOLERANCE_SHARE * spacing)
