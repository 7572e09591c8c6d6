"""Numbers of a segment in SUV: what a physician of nuclear medicine reads beside the outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import convolve

from clic_edge.domain.prediction import Code, Measurement

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Geometry
    from clic_edge.inference.declaration import Kind

SUV = Code(value="126401", scheme="DCM", meaning="SUVbw")
GLYCOLYSIS = Code(value="126033", scheme="DCM", meaning="Total Lesion Glycolysis")
PER_GRAM = Code(value="g/ml{SUVbw}", scheme="UCUM", meaning="Standardized Uptake Value body weight")
GRAM = Code(value="g", scheme="UCUM", meaning="gram")
MAXIMUM = Code(value="56851009", scheme="SCT", meaning="Maximum")
MEAN = Code(value="373098007", scheme="SCT", meaning="Mean")
PEAK = Code(value="126031", scheme="DCM", meaning="Peak Value Within ROI")
MM3_IN_ML = 1000.0
PEAK_RADIUS_MM = (3 * 1000 / (4 * np.pi)) ** (1 / 3)
"""Of a sphere of 1 ml: 6.2 mm (PERCIST, J Nucl Med 2009;50:122S-150S)."""


def measure(
    suv: NDArray[np.generic],
    mask: NDArray[np.bool_],
    geometry: Geometry,
    *,
    kinds: Collection[Kind],
) -> tuple[Measurement, ...]:
    """Return the numbers of a segment that are asked for; nothing of one without voxels.

    `suv` and `mask` have the shape (slices, rows, columns) of the geometry.
    """
    if not kinds or not mask.any():
        return ()
    inside = np.asarray(suv[mask], dtype=np.float64)
    mean, millilitres = float(inside.mean()), inside.size * geometry.voxel_volume_mm3 / MM3_IN_ML
    found = {
        "suv-max": _suv(float(inside.max()), MAXIMUM),
        "suv-mean": _suv(mean, MEAN),
        "total-lesion-glycolysis": Measurement(
            name=GLYCOLYSIS, value=mean * millilitres, unit=GRAM
        ),
    }
    if "suv-peak" in kinds:
        found["suv-peak"] = _suv(peak(suv, mask, geometry), PEAK)
    return tuple(found[kind] for kind in kinds)


def _suv(value: float, derivation: Code) -> Measurement:
    return Measurement(name=SUV, value=value, unit=PER_GRAM, derivation=derivation)


def peak(suv: NDArray[np.generic], mask: NDArray[np.bool_], geometry: Geometry) -> float:
    """Return the largest mean over a sphere of 1 ml about any voxel of the segment.

    A voxel counts with the share of it that lies in the sphere, found on a grid 5 times as fine.
    The sphere may reach beyond the segment; beyond the volume its voxels count as the nearest.
    """
    weights = sphere(geometry)
    reach = tuple(size // 2 for size in weights.shape)
    box = tuple(
        slice(max(0, int(places.min()) - by), int(places.max()) + by + 1)
        for places, by in zip(np.nonzero(mask), reach, strict=True)
    )
    means = convolve(np.asarray(suv[box], np.float64), weights, mode="nearest")
    return float(means[mask[box]].max())


def sphere(geometry: Geometry) -> NDArray[np.float64]:
    """Return the weights, of sum 1, of the voxels about one whose middle is the sphere's."""
    steps = np.asarray(geometry.affine[:3, :3])
    reach = np.ceil(PEAK_RADIUS_MM / np.asarray(geometry.spacing_mm) + 0.5).astype(int)
    fine = (np.arange(5) - 2) / 5
    axes = [np.add.outer(np.arange(-n, n + 1), fine).ravel() for n in reach]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    inside = np.linalg.norm(np.tensordot(steps, grid, 1), axis=0) <= PEAK_RADIUS_MM
    shares = inside.reshape([part for n in reach for part in (2 * n + 1, 5)]).mean(axis=(1, 3, 5))
    weights: NDArray[np.float64] = shares / shares.sum()
    return weights
