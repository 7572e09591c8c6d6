"""Two label maps compared, class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.volume import Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One class of one case. None: the number has no meaning, as a class is absent."""

    dice: float | None
    """2 |A and B| / (|A| + |B|); None where the class is in neither map."""
    hd95_mm: float | None
    """95th-percentile Hausdorff distance; None where the class is missing in one map."""
    volume_error_mm3: float
    """Found minus reference."""
    volume_error_percent: float | None
    """The same as a share of the reference; None where that is empty."""
    volume_mm3: float
    """Found."""
    reference_volume_mm3: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaAgreement:
    """One class of one photograph, in its own pixels. None: the number has no meaning."""

    dice: float | None
    """As of `Agreement`."""
    sensitivity: float | None
    """Share of the reference that was found."""
    precision: float | None
    """Share of what was found that is of the reference."""
    area_error_percent: float | None
    """Found minus reference, as a share of the reference."""
    area_pixels: int
    reference_area_pixels: int


def compare_areas(found: NDArray[np.bool_], reference: NDArray[np.bool_]) -> AreaAgreement:
    """Return how well two masks of one photograph agree."""
    count, expected, both = (int(mask.sum()) for mask in (found, reference, found & reference))
    return AreaAgreement(
        dice=2 * both / (count + expected) if count + expected else None,
        sensitivity=both / expected if expected else None,
        precision=both / count if count else None,
        area_error_percent=100 * (count - expected) / expected if expected else None,
        area_pixels=count,
        reference_area_pixels=expected,
    )


def compare(found: NDArray[np.bool_], reference: NDArray[np.bool_], grid: Geometry) -> Agreement:
    """Return how well two masks on the same grid agree."""
    count, expected = int(found.sum()), int(reference.sum())
    error = (count - expected) * grid.voxel_volume_mm3
    volume = expected * grid.voxel_volume_mm3
    return Agreement(
        dice=dice(found, reference),
        hd95_mm=hausdorff95(found, reference, grid.spacing_mm) if count and expected else None,
        volume_error_mm3=error,
        volume_error_percent=100 * error / volume if expected else None,
        volume_mm3=count * grid.voxel_volume_mm3,
        reference_volume_mm3=volume,
    )


def dice(found: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float | None:
    """Return 2 |A and B| / (|A| + |B|); None where both masks are empty."""
    together = int(found.sum()) + int(reference.sum())
    return 2 * int((found & reference).sum()) / together if together else None


def hausdorff95(
    first: NDArray[np.bool_], second: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> float:
    """Return the 95th percentile of surface distances in mm, the larger of the two directions.

    The surface is made of the voxels that have a neighbour outside across a face, as in MONAI's
    ``compute_hausdorff_distance(percentile=95)``. Neither mask may be empty.
    """
    surfaces = [mask & ~binary_erosion(mask) for mask in (first, second)]
    away = [distance_transform_edt(~surface, sampling=spacing_mm) for surface in surfaces]
    directions = (away[1][surfaces[0]], away[0][surfaces[1]])
    return max(float(np.percentile(distances, 95)) for distances in directions)
