"""What is cut from a head so that no face is left, and why none of it is brain.

The cut is a set of planes, as in quickshear (Schimke and Hale, 2011), on the side of the face and
of the ears. What is removed lies beyond a plane, so that it is at least `MARGIN_MM` away from the
convex hull of the brain's estimate: the largest piece of the brain's own values that is thicker
than 16 mm. What the estimate is worth is told by a second one that knows nothing of it:

- in CT, the bone that has to enclose it;
- in MR, the ellipsoid of the cranium's skin. A plane never lies deeper in it than `COVER_MM`, less
  than skin and skull measure before the brain.

Where the two contradict each other, or one is not that of a head, nothing is cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from clic_edge.deid.cranium import Crown, Ellipsoid, cranium_of, crown_of, not_defaced
from clic_edge.deid.upright import (
    Box,
    Upright,
    body_of,
    largest,
    least_of_tissue,
    tissue_of,
    upright,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.volume import Geometry, Volume

COARSE_MM, FINE_MM = 4.0, 2.5
MARGIN_MM = 5.0
"""Least distance of what is removed from the brain's estimate."""
COVER_MM = 10.0
"""Depth in the cranium to which a plane may reach in MR; ears are cut outside of it."""
THICK_MM = 8.0
"""Half the thickness of what counts as brain: nerves, vessels and muscles beside it are thinner."""
THICKER_MM = (12.0, 16.0, 20.0)
"""The same where its long axis is looked for: the spinal canal is thinner, and so is a neck that
voxels of 3 mm do not part from the brain."""
BRAIN_HU = (-5.0, 110.0)
BRAIN_SIGNAL = (0.6, 1.5)
"""Signal of the brain in MR, in shares of the median in the middle of the cranium."""
BRAIN_ML = (250.0, 2300.0)
FILLED = (0.3, 0.9)
"""Volume of the brain as a share of the cranium's ellipsoid."""
WITHIN = 0.95
"""Share of the brain that lies in the cranium."""
BONE_HU, BONE_MM, ENCLOSED = 250.0, 8.0, 0.8
"""Share of the brain's upper surface that has bone beside it, in CT."""
HEIGHT, DEEPEST = 1.4, 1.1
"""Vertex to below the chin, and to below any brain, in lengths of the head."""
NEUTRAL_DEGREES, STEEPEST_DEGREES = -13.5, 35.0
"""How the brain's long axis lies where the head looks ahead; how far from that it is still cut."""
LEAST_BEHIND, LEAST_FLAT = 0.1, 0.05
"""Third moments along and across that axis; both change sign where front or top are taken wrongly."""
_AROUND_MM, _MIDDLE = 20.0, 0.2
_FACE = tuple((side, down) for side in (-40.0, 0.0, 40.0) for down in (20.0, 35.0, 50.0))
_EARS = ((-90.0, 20.0), (90.0, 20.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What is removed: all that is beyond one of the planes and above the floor."""

    normals: NDArray[np.float64]
    """Shape (planes, 3), unit vectors away from the brain."""
    offsets_mm: NDArray[np.float64]
    floor_mm: float
    """z below which nothing is removed: neck and trunk."""
    brain: NDArray[np.float64] = field(repr=False)
    """Points of the brain's estimate, shape (points, 3)."""

    def removed(self, geometry: Geometry) -> NDArray[np.bool_]:
        """Return which voxels of a grid go, in the shape of the grid."""
        steps, start = geometry.affine[:3, :3], geometry.affine[:3, 3]
        removed = np.zeros(geometry.shape, bool)
        up = np.array([0.0, 0.0, 1.0])
        for at in range(geometry.shape[0]):
            first, mask = start + steps[:, 0] * at, removed[at]
            for normal, offset in zip(self.normals, self.offsets_mm, strict=True):
                mask |= _along(normal, first - offset * normal, steps=steps, shape=mask.shape) > 0
            mask &= _along(up, first - self.floor_mm * up, steps=steps, shape=mask.shape) >= 0
        return removed


def _along(
    normal: NDArray[np.float64],
    first: NDArray[np.float64],
    *,
    steps: NDArray[np.float64],
    shape: tuple[int, ...],
) -> NDArray[np.float32]:
    """Return the coordinates of a slice's voxels along a direction; `first` is its first voxel."""
    rows, columns = (np.arange(count, dtype=np.float32) for count in shape)
    down = np.float32(normal @ first) + np.float32(normal @ steps[:, 1]) * rows
    return down[:, None] + np.float32(normal @ steps[:, 2]) * columns


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """A head on an even grid, and what may be its brain."""

    grid: Upright
    body: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    crown: Crown
    is_ct: bool


def levelled(volume: Volume) -> Volume:
    """Return a volume in coordinates in which its head looks ahead; the voxels are the same.

    Raises
    ------
    Refusal
        ``face-visible``: no head or no brain is found, or it nods by more than it does in a scanner.

    """
    degrees = _degrees(volume)
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turn = np.eye(4)
    turn[1:3, 1:3] = [[cosine, sine], [-sine, cosine]]
    affine = turn @ volume.geometry.affine
    affine.flags.writeable = False
    return replace(volume, geometry=replace(volume.geometry, affine=affine))


def _degrees(volume: Volume) -> float:
    """Return by how many degrees the head of a volume nods, by the least thickness that tells."""
    grid = upright(volume, COARSE_MM)
    for thick_mm in THICKER_MM:
        head = _head(volume, grid, thick_mm)
        degrees = _nod(head.grid.places(head.brain)[:, 1:])
        if degrees is not None and abs(degrees) <= STEEPEST_DEGREES:
            return degrees
    raise not_defaced("its front or its top is not where the headers say, or it nods too far")


def _nod(brain: NDArray[np.float64]) -> float | None:
    """Return by how many degrees a head nods, from y and z of its brain's points (points, 2).

    None where the brain is not one seen from this side: it is lower and fuller behind, and flatter
    above.
    """
    centred = brain - brain.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(centred.T))
    back, up = axes[:, 1] * np.sign(axes[0, 1])
    along, above = (centred @ np.array([[back, -up], [up, back]])).T
    along, above = along / along.std(), above / above.std()
    behind = float((along * above**2).mean() - (along**3).mean())
    flat = -float((along**2 * above).mean())
    if not (behind >= LEAST_BEHIND and flat >= LEAST_FLAT):
        return None
    return float(np.degrees(np.arctan2(up, back))) - NEUTRAL_DEGREES


def cut_of(volume: Volume) -> Cut:
    """Return what to remove from a volume whose head looks ahead.

    Raises
    ------
    Refusal
        ``face-visible``: it can't be told where the head, its front or its brain is.

    """
    head = _head(volume, upright(volume, FINE_MM, _box(volume)), THICK_MM)
    cranium = cranium_of(head.grid, head.body, head.crown)
    head = replace(head, brain=_within(head, cranium))
    _check_brain(head, cranium)
    normals = np.array([_direction(*angles) for angles in (*_FACE, *_EARS)])
    skulls = np.array([cranium.reach(normal) for normal in normals])
    skulls[: len(_FACE)] -= np.inf if head.is_ct else COVER_MM
    points = head.grid.places(head.brain)
    reaches = (points @ normals.T).max(axis=0) + MARGIN_MM
    return Cut(
        normals=normals,
        offsets_mm=np.maximum(reaches, skulls),
        floor_mm=head.crown.height(HEIGHT),
        brain=points,
    )


def _direction(side: float, down: float) -> NDArray[np.float64]:
    """Return a unit vector to the front, turned to the left and to the feet by degrees."""
    side, down = np.radians([side, down])
    return np.array([np.sin(side) * np.cos(down), -np.cos(side) * np.cos(down), -np.sin(down)])


def _distance(mask: NDArray[np.bool_], grid: Upright) -> NDArray[np.float64]:
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=grid.step_mm))


def _is_ct(volume: Volume) -> bool:
    return volume.acquisition.modality == "CT"


def _box(volume: Volume) -> Box:
    """Return the box of the head at the upper end of a volume, with some air around it."""
    grid = upright(volume, COARSE_MM)
    body = body_of(tissue_of(grid, least_of_tissue(grid, is_ct=_is_ct(volume))))
    points = grid.places(body)
    points = points[points[:, 2] >= crown_of(grid, body).height(HEIGHT)]
    return Box(low=points.min(axis=0) - _AROUND_MM, high=points.max(axis=0) + _AROUND_MM)


def _head(volume: Volume, grid: Upright, thick_mm: float) -> _Head:
    """Return the head at the upper end of a grid; its brain is what is thicker than said."""
    is_ct = _is_ct(volume)
    body = body_of(tissue_of(grid, least_of_tissue(grid, is_ct=is_ct)))
    crown = crown_of(grid, body)
    brain = _brain(grid, body, crown, is_ct=is_ct, thick_mm=thick_mm)
    return _Head(grid=grid, body=body, brain=brain, crown=crown, is_ct=is_ct)


def _brain(
    grid: Upright, body: NDArray[np.bool_], crown: Crown, *, is_ct: bool, thick_mm: float
) -> NDArray[np.bool_]:
    """Return the largest thick piece of what has the values of brain."""
    values = grid.values
    low, high = BRAIN_HU
    if not is_ct:
        inner = np.zeros(body.shape, bool)
        places = grid.places(body) - crown.middle
        inner[body] = np.linalg.norm(places, axis=1) < _MIDDLE * crown.length_mm
        middle = float(np.median(values[inner])) if inner.any() else 0.0
        low, high = middle * BRAIN_SIGNAL[0], middle * BRAIN_SIGNAL[1]
    is_brain = (values > low) & (values < high) & body
    is_brain[grid.axis("z") < crown.height(DEEPEST)] = False
    thick = _distance(~is_brain, grid) > thick_mm
    if not thick.any():
        raise not_defaced("no brain is found")
    return _distance(largest(thick), grid) <= thick_mm


def _within(head: _Head, cranium: Ellipsoid) -> NDArray[np.bool_]:
    """Return the brain without what follows below the cranium: the spinal canal.

    Raises Refusal ``face-visible`` where it is more than a canal.
    """
    brain = head.brain.copy()
    is_inside = cranium.radii(head.grid.places(brain)) <= 1
    if float(is_inside.mean()) < WITHIN:
        raise not_defaced("what may be the brain goes on outside the cranium")
    brain[brain] = is_inside
    return brain


def _check_brain(head: _Head, cranium: Ellipsoid) -> None:
    """Return when the estimate is that of a brain. Raises Refusal ``face-visible``."""
    millilitres = float(head.brain.sum()) * head.grid.step_mm**3 / 1000
    share = millilitres / cranium.millilitres
    if not BRAIN_ML[0] <= millilitres <= BRAIN_ML[1] or not FILLED[0] <= share <= FILLED[1]:
        raise not_defaced("what may be the brain has not the volume of one")
    if head.is_ct and _enclosed(head, cranium) < ENCLOSED:
        raise not_defaced("what may be the brain is not enclosed by bone")


def _enclosed(head: _Head, cranium: Ellipsoid) -> float:
    """Return which share of the brain's upper surface has bone beside it."""
    surface = head.brain & ~np.asarray(ndimage.binary_erosion(head.brain), bool)
    surface[head.grid.axis("z") < cranium.centre[2]] = False
    bone = head.grid.values > BONE_HU
    if not (surface.any() and bone.any()):
        return 0.0
    return float((_distance(bone, head.grid)[surface] <= BONE_MM).mean())
