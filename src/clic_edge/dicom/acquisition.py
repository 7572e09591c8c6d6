"""How the images were made, from the first image of a volume."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clic_edge.dicom.suv import suv_bw_factor
from clic_edge.domain.volume import Acquisition
from clic_edge.errors import Defect

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
    of = _Places(_places(dataset))
    return Acquisition(
        modality=of.text("Modality"),
        manufacturer=of.text("Manufacturer"),
        model_name=of.text("ManufacturerModelName"),
        software_versions=of.text("SoftwareVersions"),
        station_name=of.text("StationName"),
        body_part=of.text("BodyPartExamined"),
        patient_position=of.text("PatientPosition"),
        view_position=of.text("ViewPosition"),
        scanning_sequence=of.text("ScanningSequence"),
        sequence_variant=of.text("SequenceVariant"),
        mr_acquisition_type=of.text("MRAcquisitionType"),
        slice_thickness_mm=of.number("SliceThickness"),
        magnetic_field_strength_t=of.number("MagneticFieldStrength"),
        repetition_time_ms=of.number("RepetitionTime"),
        echo_time_ms=of.number("EchoTime", "EffectiveEchoTime"),
        inversion_time_ms=of.number_if_usable("InversionTime"),
        flip_angle_deg=of.number("FlipAngle"),
        echo_train_length=of.number_if_usable("EchoTrainLength"),
        pixel_bandwidth_hz=of.number_if_usable("PixelBandwidth"),
        number_of_averages=of.number_if_usable("NumberOfAverages"),
        kvp=of.number("KVP"),
        x_ray_tube_current_ma=of.number_if_usable("XRayTubeCurrent", "XRayTubeCurrentInmA"),
        exposure_time_ms=of.number_if_usable("ExposureTime", "ExposureTimeInms"),
        exposure_mas=of.number_if_usable("Exposure", "ExposureInmAs"),
        ctdi_vol_mgy=of.number_if_usable("CTDIvol"),
        spiral_pitch_factor=of.number_if_usable("SpiralPitchFactor"),
        reconstruction_diameter_mm=of.number_if_usable("ReconstructionDiameter"),
        exposure_index=of.number_if_usable("ExposureIndex"),
        body_part_thickness_mm=of.number_if_usable("BodyPartThickness"),
        compression_force_n=of.number_if_usable("CompressionForce"),
        radionuclide_total_dose_bq=of.number_if_usable("RadionuclideTotalDose"),
        convolution_kernel=of.text("ConvolutionKernel"),
        filter_type=of.text("FilterType"),
        contrast=_contrast(dataset),
        age_years=_years(dataset.text("PatientAge")),
        sex=dataset.text("PatientSex"),
        laterality=of.text("ImageLaterality") or of.text("Laterality"),
        suv_bw_factor=suv_bw_factor(dataset) if of.text("Modality") == "PT" else None,
    )


def free_texts_of(dataset: Attributes) -> tuple[tuple[str, str], ...]:
    """Return what staff typed of protocol and coil, by the feature's name; it may name anybody."""
    of = _Places(_places(dataset))
    named = (
        ("protocol_name", of.text("ProtocolName")),
        ("receive_coil_name", of.text("ReceiveCoilName")),
    )
    return tuple((name, text) for name, text in named if text)


@dataclass(frozen=True, slots=True)
class _Places:
    """The same attributes, wherever they stand: the first place that has one wins."""

    places: tuple[Attributes, ...]

    def text(self, keyword: str) -> str:
        return next(filter(None, (place.text(keyword) for place in self.places)), "")

    def number(self, *keywords: str) -> float | None:
        found = (place.number(keyword) for place in self.places for keyword in keywords)
        return next((value for value in found if value is not None), None)

    def number_if_usable(self, *keywords: str) -> float | None:
        """Return as `number`; None for what is no number, as only the monitor asks for it."""
        try:
            return self.number(*keywords)
        except Defect:
            return None


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
        "CTExposureSequence",
        "CTTableDynamicsSequence",
        "MRModifierSequence",
        "MRAveragesSequence",
        "MRReceiveCoilSequence",
    )
    groups = (
        dataset.first_item("SharedFunctionalGroupsSequence"),
        dataset.first_item("PerFrameFunctionalGroupsSequence"),
    )
    items = (group.first_item(macro) for group in groups if group for macro in macros)
    drug = dataset.first_item("RadiopharmaceuticalInformationSequence")
    return (dataset, *filter(None, (*items, drug)))
