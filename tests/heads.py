"""A head made in code: skin, skull and brain, with eyes, nose, ears and a neck, in any pose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from factories import Stack, make_datasets, series_of

from clic_edge.deid.faces import POLICY
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.volume import Volume

AIR, SOFT, SCALP, BONE, EYE, BRAIN, CORD, NOSE, EAR = range(9)
CONTRASTS: dict[str, tuple[int, ...]] = {
    "CT": (-1000, 55, -60, 1100, 10, 32, 30, 40, 40),
    "T1": (4, 130, 230, 12, 40, 150, 150, 140, 140),
    "T2": (4, 60, 160, 10, 250, 110, 110, 70, 70),
}
"""Hounsfield units, or signal, of each of the above."""
NOISE = 3.0
STEP_MM = 3.0
TRUNK_MM = 200.0
"""Half the width of the trunk, and how far below the middle of the cranium it begins."""
_WIDE_MM, _BEFORE_MM, _ABOVE_MM = 114.0, 140.0, 104.0


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How a head lies in the patient's axes: degrees, and its size as a share of an adult's."""

    nod: float = 0.0
    """Chin up."""
    turn: float = 0.0
    tilt: float = 0.0
    size: float = 1.0

    @property
    def matrix(self) -> NDArray[np.float64]:
        """From the patient's millimetres to those of an adult head that looks ahead."""
        turn = np.eye(3)
        for angle, (one, other) in ((self.nod, (1, 2)), (self.turn, (0, 1)), (self.tilt, (2, 0))):
            sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
            rotation = np.eye(3)
            rotation[[one, one, other, other], [one, other, one, other]] = (
                cosine,
                sine,
                -sine,
                cosine,
            )
            turn = rotation @ turn
        return turn / self.size


def _ball(
    points: NDArray[np.float64],
    centre: tuple[float, float, float],
    semi_axes: tuple[float, float, float],
    more: float = 0.0,
) -> NDArray[np.bool_]:
    scaled = (points - np.array(centre)) / (np.array(semi_axes) + more)
    return np.asarray((scaled**2).sum(axis=-1) < 1)


def _column(points: NDArray[np.float64], back: float, radius: float) -> NDArray[np.bool_]:
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.asarray((np.hypot(x, y - back) < radius) & (z < -40))


def _brain(points: NDArray[np.float64], more: float = 0.0) -> NDArray[np.bool_]:
    return _ball(points, (0, 2, 14), (66, 84, 62), more) | _ball(
        points, (0, 42, -32), (48, 34, 28), more
    )


def anatomy(points: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return what is at points (…, 3) of a head that looks ahead, its cranium's centre at 0."""
    mirrored = np.abs(points[..., :1]) * (1, 0, 0) + points * (0, 1, 1)
    skin = (
        _ball(points, (0, 0, 0), (77, 100, 88))
        | _ball(points, (0, -45, -70), (58, 58, 72))
        | _column(points, 20, 48)
    )
    deep = (
        _ball(points, (0, 0, 0), (77, 100, 88), -5)
        | _ball(points, (0, -45, -70), (58, 58, 72), -4)
        | _column(points, 20, 44)
    )
    nose = _ball(points, (0, -103, -58), (14, 24, 26))
    found = np.full(points.shape[:-1], AIR, np.int8)
    found[_ball(mirrored, (80, 12, -35), (9, 16, 28))] = EAR
    found[skin] = SCALP
    found[deep] = SOFT
    found[nose & ~skin] = NOSE
    found[_ball(mirrored, (32, -84, -38), (12, 12, 12))] = EYE
    found[(_brain(points, 7.0) | _column(points, 18, 16)) & deep] = BONE
    found[_column(points, 18, 9)] = CORD
    found[_brain(points)] = BRAIN
    found[_ball(points, (0, -72, -62), (13, 30, 18))] = AIR
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    found[(np.abs(x) < TRUNK_MM) & (np.abs(y - 15) < TRUNK_MM / 2) & (z < -TRUNK_MM)] = SOFT
    return found


@dataclass(frozen=True, kw_only=True)
class MadeHead:
    """A series of a head, and the truth about it."""

    datasets: list[Dataset]
    truth: NDArray[np.int8]
    """What each voxel shows, shape (slices, rows, columns)."""


def make_head(
    contrast: str = "CT",
    pose: Pose | None = None,
    *,
    orientation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    spacing: tuple[float, float, float] = (STEP_MM, STEP_MM, STEP_MM),
    intercept: float = 0.0,
    below_mm: float = 150.0,
) -> MadeHead:
    """Return a head in slices of any orientation; `spacing` between slices, rows and columns.

    The field of view ends `below_mm` under the middle of the cranium.
    """
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    axes = np.stack([np.cross(row, column), column, row])
    low = np.array([-_WIDE_MM, -_BEFORE_MM, -below_mm])
    high = np.array([_WIDE_MM, _WIDE_MM, _ABOVE_MM])
    # The corner from which all three directions lead into the box.
    start = np.where(axes.sum(axis=0) > 0, low, high)
    extents = np.abs(axes @ (high - low))
    shape = [int(extent / step) + 1 for extent, step in zip(extents, spacing, strict=True)]
    steps = axes * np.array(spacing)[:, None]
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) @ steps + start
    truth = anatomy(points @ (pose or Pose()).matrix.T)
    values = np.array(CONTRASTS[contrast])[truth]
    noise = np.random.default_rng(7).normal(0, NOISE, truth.shape)
    modality = "CT" if contrast == "CT" else "MR"
    real = values + noise if modality == "CT" else np.abs(values + noise)
    stack = replace(
        Stack(),
        modality=modality,
        description="",
        orientation=orientation,
        origin=(float(start[0]), float(start[1]), float(start[2])),
        pixel_spacing=(spacing[1], spacing[2]),
        slice_step=spacing[0],
        intercept=intercept,
    )
    made = make_datasets(stack, np.rint(real - intercept).astype(np.int16))
    return MadeHead(datasets=made, truth=truth)


def volume_of(datasets: list[Dataset]) -> Volume:
    """Return the volume of a series as it is, without de-identification."""
    contents = (instance.content for instance in series_of(datasets).instances)
    instances = tuple(CleanInstance(content=content) for content in contents)
    return build_volume(CleanSeries(subject_id="", series_uid="", instances=instances), POLICY)
