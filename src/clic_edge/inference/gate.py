"""May this volume, or this image, be run? What a package declares, held against what came."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.image import Image
    from clic_edge.domain.volume import Acquisition, Volume
    from clic_edge.inference.card import Population, Protocol
    from clic_edge.inference.declaration import Declaration
    from clic_edge.inference.image_input import ImageInput
    from clic_edge.inference.transforms import NetworkGrid
    from clic_edge.inference.volume_input import Input

_AXES = ("slices", "rows", "columns")
_COLOURLESS = 16
"""By how much red, green and blue of 0 to 255 differ where compression alone coloured them."""
_FEW = 0.03
"""Share of coloured pixels up to which an image is grey, but for logos and letters: 2.1 % of an
ultrasound still of the test data are coloured, 6.5 % of one with Doppler; the palest of 600
dermoscopies has 3.8 %."""
_SAMPLE = 1_000_000
"""Values that tell it as well as all would."""


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
    _admit_values(volume.voxels, "voxels of the volume")


def admit_image(image: Image, declaration: Declaration) -> None:
    """Return when the image is one that the model was made for.

    Raises
    ------
    Refusal
        ``modality-unsupported``, ``image-too-small``, ``colour-unsupported``,
        ``voxels-not-finite`` or ``voxels-constant``; as `admit_acquisition` raises.

    """
    declared = declaration.images
    admit_acquisition(image.acquisition, declaration)
    if image.acquisition.modality not in declared.modalities:
        raise Refusal(
            "modality-unsupported",
            f"The image is not {' or '.join(declared.modalities)}, which this model needs.",
        )
    rows, columns = image.pixels.shape[:2]
    if rows < declared.smallest[0] or columns < declared.smallest[1]:
        raise Refusal(
            "image-too-small",
            f"The image has {rows} x {columns} pixels, this model needs at least "
            f"{declared.smallest[0]} x {declared.smallest[1]}.",
        )
    _admit_colour(image.pixels, declared)
    _admit_values(image.pixels, "pixels of the image")


def _admit_colour(pixels: NDArray[np.generic], declared: ImageInput) -> None:
    """Compare channels: a colour image in which hardly a pixel has a colour is a grey one."""
    if declared.values == "modality" and pixels.ndim > 2:  # noqa: PLR2004 - colours
        raise Refusal(
            "colour-unsupported", "The image is in colour, this model needs a modality's own unit."
        )
    if _is_coloured(pixels) != (declared.channels > 1):
        found, wanted = ("in colour", "grey")[:: 1 if declared.channels == 1 else -1]
        raise Refusal("colour-unsupported", f"The image is {found}, this model needs it {wanted}.")


def _is_coloured(pixels: NDArray[np.generic]) -> bool:
    if pixels.ndim == 2:  # noqa: PLR2004 - rows, columns
        return False
    step = max(1, math.isqrt(pixels.size // _SAMPLE))
    sample = pixels[::step, ::step]
    spread = sample.max(axis=2).astype(np.int16) - sample.min(axis=2)
    return bool(np.mean(spread > _COLOURLESS) > _FEW)


def admit_acquisition(acquisition: Acquisition, declaration: Declaration) -> None:
    """Return when whose images these are, and how they were made, is what the package says.

    What it asks for and the images do not tell is refused, because nobody can be sure; only
    Body Part Examined, which many scanners leave empty, is asked for where it is there.

    Raises
    ------
    Refusal
        ``age-unsupported``, ``sex-unsupported``, ``body-part-unsupported``,
        ``laterality-unsupported``, ``contrast-unsupported``, ``manufacturer-unsupported``,
        ``thickness-unsupported`` or ``suv-unknown``.

    """
    if declaration.population:
        _admit_patient(acquisition, declaration.population)
    if declaration.protocol:
        _admit_protocol(acquisition, declaration.protocol)
    quantity = declaration.volume and declaration.volume.quantity
    if quantity == "suv-bw" and acquisition.suv_bw_factor is None:
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
    if wanted.lateralities and acquisition.laterality not in wanted.lateralities:
        raise Refusal(
            "laterality-unsupported",
            f"The image is not known to be of the side {' or '.join(wanted.lateralities)}, "
            "for which this model is made.",
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


def _admit_values(values: NDArray[np.generic], which: str) -> None:
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        raise Refusal("voxels-not-finite", f"Some {which} are not numbers.")
    if low == high:
        raise Refusal("voxels-constant", f"All {which} have the same value.")


def _mm(lengths: tuple[float, ...]) -> str:
    return " x ".join(f"{length:.0f}" for length in lengths)
