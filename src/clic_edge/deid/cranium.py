"""The head at the upper end of a volume: its crown, and the ellipsoid of its cranium.

All of it is read from the skin, so that it holds for any contrast: the upper part of a head is
close to an ellipsoid, and the brain lies in it. Face, ears and neck stick out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.deid.upright import Upright

CROWN_MM = 70.0
"""How far below the vertex the head's length is measured: above the brow, also of a child."""
OPEN_TOP = 0.35
"""Share of the largest transverse area above which the vertex is not in the field of view."""
CRANIUM = 0.45
"""How far below the vertex the ellipsoid is fitted, in lengths of the head: above the brow."""
MISFIT_MM = 4.0
SEMI_AXES_MM = ((42.0, 95.0), (52.0, 125.0), (42.0, 125.0))
"""Half the width, length and height of a cranium, from a newborn's to the largest."""
_MIDDLE = 0.42
_MOST_POINTS, _LEAST_POINTS, _MOST_STEPS = 1500, 300, 100


def not_defaced(why: str) -> Refusal:
    """Return the refusal of a head whose face can't be removed for sure."""
    return Refusal("face-visible", f"A face is visible and can't be removed: {why}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crown:
    """The upper end of a head."""

    top_mm: float
    """z of the vertex."""
    length_mm: float
    """Front to back."""
    middle: NDArray[np.float64]
    """x, y, z of the middle of the cranium."""

    def height(self, share: float) -> float:
        """Return z at a share of the head's length below the vertex."""
        return self.top_mm - share * self.length_mm


def crown_of(grid: Upright, body: NDArray[np.bool_]) -> Crown:
    """Return the upper end of the body on a grid.

    Raises
    ------
    Refusal
        ``face-visible``: there is no body, or the field of view cuts off its top.

    """
    areas, z = body.sum(axis=(1, 2)), grid.axis("z")
    if not areas.any():
        raise not_defaced("no head is found")
    last = int(np.flatnonzero(areas)[-1])
    top = float(z[last])
    if areas[last] > OPEN_TOP * areas[z > top - 2 * CROWN_MM].max():
        raise not_defaced("the top of the head is not in the field of view")
    crown = body[z > top - CROWN_MM]
    y, x = (grid.axis(letter)[crown.any(axis=(0, other))] for letter, other in (("y", 2), ("x", 1)))
    length = float(np.ptp(y)) + grid.step_mm
    middle = np.array([(x[0] + x[-1]) / 2, (y[0] + y[-1]) / 2, top - _MIDDLE * length])
    return Crown(top_mm=top, length_mm=length, middle=middle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipsoid:
    """An ellipsoid, in the millimetres of the volume's coordinates."""

    centre: NDArray[np.float64]
    semi_axes: NDArray[np.float64]
    """Along the columns of `axes`: near x, y and z."""
    axes: NDArray[np.float64]

    def reach(self, normal: NDArray[np.float64]) -> float:
        """Return the largest coordinate of its points along a direction."""
        return float(normal @ self.centre + np.linalg.norm(self.semi_axes * (normal @ self.axes)))

    def radii(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where points (points, 3) lie: 0 in the centre, 1 on the surface."""
        turned = (points - self.centre) @ self.axes / self.semi_axes
        return np.asarray(np.linalg.norm(turned, axis=1))

    @property
    def millilitres(self) -> float:
        """The volume."""
        return float(4 / 3 * np.pi * self.semi_axes.prod() / 1000)


def cranium_of(grid: Upright, body: NDArray[np.bool_], crown: Crown) -> Ellipsoid:
    """Return the ellipsoid nearest to the skin above the brow, points that are off counting less.

    Raises
    ------
    Refusal
        ``face-visible``: too little of the skin is in view, or it is not that of a head.

    """
    skin = _skin(grid, body, crown)
    if len(skin) < _LEAST_POINTS:
        raise not_defaced("too little of its skin is in the field of view")
    half = (skin.max(axis=0) - skin.min(axis=0)) / 2
    height = CRANIUM * crown.length_mm

    def misfit(guess: NDArray[np.float64]) -> NDArray[np.float64]:
        turned = (skin - guess[:3]) @ Rotation.from_rotvec(guess[6:]).as_matrix()
        radii = np.linalg.norm(turned / guess[3:6], axis=1)
        return np.asarray(np.linalg.norm(turned, axis=1) * (1 - 1 / radii))

    start = [*crown.middle[:2], crown.top_mm - height, *half[:2], height, 0.0, 0.0, 0.0]
    found = least_squares(misfit, start, loss="soft_l1", f_scale=2.0, max_nfev=_MOST_STEPS).x
    is_head = all(
        low <= axis <= high for axis, (low, high) in zip(found[3:6], SEMI_AXES_MM, strict=True)
    )
    is_near = float(np.sqrt(np.mean(misfit(found) ** 2))) <= MISFIT_MM
    if not (is_head and is_near):
        raise not_defaced("its cranium has not the shape of one")
    # The outermost points that are tissue lie half a step below the skin.
    return Ellipsoid(
        centre=found[:3],
        semi_axes=found[3:6] + grid.step_mm / 2,
        axes=Rotation.from_rotvec(found[6:]).as_matrix(),
    )


def _skin(grid: Upright, body: NDArray[np.bool_], crown: Crown) -> NDArray[np.float64]:
    """Return points of the skin above the brow; where the field of view ends, there is none."""
    deeper = np.asarray(ndimage.binary_erosion(body | ~grid.inside, border_value=1), bool)
    skin = grid.places(body & ~deeper)
    skin = skin[skin[:, 2] > crown.height(CRANIUM)]
    return skin[:: max(1, len(skin) // _MOST_POINTS)]
