"""May this volume be run? What a package declares, held against what came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from clic_edge.domain.volume import Acquisition, Volume
    from clic_edge.inference.card import Population, Protocol
    from clic_edge.inference.declaration import Declaration, Input
    from clic_edge.inference.transforms import NetworkGrid

_AXES = ("slices", "rows", "columns")


def admit(volume: Volume, grid: NetworkGrid, declaration: Declaration) -> None:
    """Return when the volume is one that the model was made for.

    Raises
    ------
    Refusal
        ``modality-unsupported``, ``spacing-unsupported``, ``tilt-unsupported``,
        ``extent-unsupported``, ``voxels-not-finite`` or ``voxels-constant``; as
        `admit_acquisition` raises.

    """
    declared = declaration.input
    admit_acquisition(volume.acquisition, declaration)
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


def admit_acquisition(acquisition: Acquisition, declaration: Declaration) -> None:
    """Return when whose images these are, and how they were made, is what the package says.

    What it asks for and the images do not tell is refused, because nobody can be sure; only
    Body Part Examined, which many scanners leave empty, is asked for where it is there.

    Raises
    ------
    Refusal
        ``age-unsupported``, ``sex-unsupported``, ``body-part-unsupported``,
        ``contrast-unsupported``, ``manufacturer-unsupported``, ``thickness-unsupported`` or
        ``suv-unknown``.

    """
    if declaration.population:
        _admit_patient(acquisition, declaration.population)
    if declaration.protocol:
        _admit_protocol(acquisition, declaration.protocol)
    if declaration.input.quantity == "suv-bw" and acquisition.suv_bw_factor is None:
        raise Refusal(
            "suv-unknown",
            "The images do not say for sure how their values become SUV: units, dose, weight, "
            "or the times of injection and scan.",
        )


def _admit_patient(acquisition: Acquisition, wanted: Population) -> None:
    if wanted.age_years and not _within(acquisition.age_years, wanted.age_years):
        youngest, oldest = wanted.age_years
        raise Refusal(
            "age-unsupported",
            f"The patient is not known to be from {youngest:g} to {oldest:g} years old, "
            "for whom this model is made.",
        )
    if wanted.sexes and acquisition.sex not in wanted.sexes:
        raise Refusal(
            "sex-unsupported",
            f"The patient's sex is not known to be {' or '.join(wanted.sexes)}, "
            "for which this model is made.",
        )


def _admit_protocol(acquisition: Acquisition, wanted: Protocol) -> None:
    part = acquisition.body_part.upper()
    if wanted.body_parts and part and part not in {one.upper() for one in wanted.body_parts}:
        raise Refusal(
            "body-part-unsupported",
            f"The images are not of {' or '.join(wanted.body_parts)}, which this model is made for.",
        )
    if wanted.contrast and acquisition.contrast != wanted.contrast:
        raise Refusal(
            "contrast-unsupported",
            f"The images are not known to be made {wanted.contrast} contrast, as this model needs.",
        )
    maker = acquisition.manufacturer.strip().casefold()
    if wanted.manufacturers and not maker.startswith(
        tuple(one.casefold() for one in wanted.manufacturers)
    ):
        raise Refusal(
            "manufacturer-unsupported",
            f"The scanner is not by {' or '.join(wanted.manufacturers)}, "
            "on whose images this model was validated.",
        )
    if wanted.slice_thickness_mm and not _within(
        acquisition.slice_thickness_mm, wanted.slice_thickness_mm
    ):
        thinnest, thickest = wanted.slice_thickness_mm
        raise Refusal(
            "thickness-unsupported",
            f"The slices are not known to be from {thinnest:g} to {thickest:g} mm thick, "
            "as this model needs.",
        )


def _within(value: float | None, bounds: tuple[float, float]) -> bool:
    low, high = bounds
    return value is not None and low <= value <= high


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
