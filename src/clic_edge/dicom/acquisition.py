"""How the images were made, from the first image of a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.domain.volume import Acquisition

if TYPE_CHECKING:
    from clic_edge.dicom.attributes import Attributes


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
    )


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
