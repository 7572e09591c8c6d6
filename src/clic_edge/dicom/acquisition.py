"""How the images were made, from the first image of a volume."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from clic_edge.dicom.suv import suv_bw_factor
from clic_edge.domain.volume import Acquisition

if TYPE_CHECKING:
    from clic_edge.dicom.attributes import Attributes


_AGE = re.compile(r"(\d{3})([DWMY])")
_IN_A_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}


def acquisition_of(dataset: Attributes) -> Acquisition:
    """Return what the dataset says; of an enhanced image, what its shared or first frame says.

    Raises
    ------
    Defect
        ``invalid-attribute``.

    """
    places = _places(dataset)

    def text(keyword: str) -> str:
        return next(filter(None, (place.text(keyword) for place in places)), "")

    def number(*keywords: str) -> float | None:
        found = (place.number(keyword) for place in places for keyword in keywords)
        return next((value for value in found if value is not None), None)

    return Acquisition(
        modality=text("Modality"),
        manufacturer=text("Manufacturer"),
        model_name=text("ManufacturerModelName"),
        software_versions=text("SoftwareVersions"),
        body_part=text("BodyPartExamined"),
        scanning_sequence=text("ScanningSequence"),
        sequence_variant=text("SequenceVariant"),
        slice_thickness_mm=number("SliceThickness"),
        magnetic_field_strength_t=number("MagneticFieldStrength"),
        repetition_time_ms=number("RepetitionTime"),
        echo_time_ms=number("EchoTime", "EffectiveEchoTime"),
        flip_angle_deg=number("FlipAngle"),
        kvp=number("KVP"),
        convolution_kernel=text("ConvolutionKernel"),
        contrast=_contrast(dataset),
        age_years=_years(dataset.text("PatientAge")),
        sex=dataset.text("PatientSex"),
        laterality=text("ImageLaterality") or text("Laterality"),
        suv_bw_factor=suv_bw_factor(dataset) if text("Modality") == "PT" else None,
    )


def _contrast(dataset: Attributes) -> str:
    """Return whether contrast was given; a de-identified image may keep the attribute, emptied."""
    if dataset.text("ContrastBolusAgent") or dataset.first_item("ContrastBolusAgentSequence"):
        return "with"
    return "" if "ContrastBolusAgent" in dataset.dataset else "without"


def _years(age: str) -> float | None:
    """Return an age string (PS3.5 6.2, VR AS) in years."""
    found = _AGE.fullmatch(age.strip())
    return int(found[1]) / _IN_A_YEAR[found[2]] if found else None


def _places(dataset: Attributes) -> tuple[Attributes, ...]:
    """Return the dataset and the macros in which an enhanced image keeps the same attributes."""
    macros = (
        "PixelMeasuresSequence",
        "MRTimingAndRelatedParametersSequence",
        "MREchoSequence",
        "CTXRayDetailsSequence",
        "CTReconstructionSequence",
    )
    groups = (
        dataset.first_item("SharedFunctionalGroupsSequence"),
        dataset.first_item("PerFrameFunctionalGroupsSequence"),
    )
    items = (group.first_item(macro) for group in groups if group for macro in macros)
    return (dataset, *filter(None, items))
