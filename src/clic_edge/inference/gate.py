"""May this volume be run? What a package declares, held against what came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from clic_edge.domain.volume import Volume
    from clic_edge.inference.declaration import Input
    from clic_edge.inference.transforms import NetworkGrid

_AXES = ("slices", "rows", "columns")


def admit(volume: Volume, grid: NetworkGrid, declared: Input) -> None:
    """Return when the volume is one that the model was made for.

    Raises
    ------
    Refusal
        ``modality-unsupported``, ``spacing-unsupported``, ``tilt-unsupported``,
        ``extent-unsupported``, ``voxels-not-finite`` or ``voxels-constant``.

    """
    if volume.acquisition.modality != declared.modality:
        raise Refusal(
            "modality-unsupported",
            f"The series is not {declared.modality}, which this model needs.",
        )
    _admit_spacing(volume.geometry.spacing_mm, declared.source_spacing_mm)
    if grid.tilt_deg > declared.largest_tilt_deg:
        raise Refusal(
            "tilt-unsupported",
            f"The slices are tilted by {grid.tilt_deg:.0f} degrees, "
            f"this model takes at most {declared.largest_tilt_deg:.0f}.",
        )
    _admit_extent(grid.extent_mm, declared)
    _admit_voxels(volume)


def _admit_spacing(spacing_mm: tuple[float, ...], allowed: tuple[float, float]) -> None:
    finest, coarsest = allowed
    for axis, step in zip(_AXES, spacing_mm, strict=True):
        if not finest <= step <= coarsest:
            limit = f"at most {coarsest}" if step > coarsest else f"at least {finest}"
            raise Refusal(
                "spacing-unsupported",
                f"The {axis} lie {step:.3g} mm apart, this model needs {limit} mm.",
            )


def _admit_extent(extent_mm: tuple[float, ...], declared: Input) -> None:
    ranges = zip(extent_mm, declared.smallest_mm, declared.largest_mm, strict=True)
    if not all(least <= extent <= most for extent, least, most in ranges):
        raise Refusal(
            "extent-unsupported",
            f"The volume reaches over {_mm(extent_mm)} mm ({declared.orientation}), this model "
            f"takes from {_mm(declared.smallest_mm)} to {_mm(declared.largest_mm)} mm.",
        )


def _admit_voxels(volume: Volume) -> None:
    low, high = volume.voxels.min(), volume.voxels.max()
    if not np.isfinite([low, high]).all():
        raise Refusal("voxels-not-finite", "The volume holds values that are not numbers.")
    if low == high:
        raise Refusal("voxels-constant", "All voxels of the volume have the same value.")


def _mm(lengths: tuple[float, ...]) -> str:
    return " x ".join(f"{length:.0f}" for length in lengths)
