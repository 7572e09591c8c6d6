"""A phantom as a DICOM study of a patient who is nobody (PS3.3 A.3, A.4, A.21)."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)
from pydicom.valuerep import DSfloat

from clic_edge.dicom.uids import derive_uid
from clic_edge.domain.constancy import RESERVED_PATIENT
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.constancy.phantoms import Stack

_SOP_CLASSES = {
    "MR": MRImageStorage,
    "CT": CTImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
}
_LARGEST = 32767
_LONGEST_ID = 64
_NAME = "NOBODY^QA"
"""No word of it stands anywhere else in the study, where it would look like a name left over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A constancy study, ready to be sent."""

    patient_id: str
    study_instance_uid: str
    files: tuple[bytes, ...] = field(repr=False)
    """Part 10."""


def make_study(stack: Stack, *, protocol: str, case: str, run_id: str) -> Study:
    """Return a study of one series; other UIDs in each run, and else the same bytes.

    Raises ConfigError ``no-phantom-of-modality``.
    """
    modality = stack.acquisition.modality
    if modality not in _SOP_CLASSES:
        raise ConfigError(
            "no-phantom-of-modality",
            f"No study can be made of a volume of modality {modality}; of MR, CT and PT it can.",
        )
    study_uid = derive_uid("constancy", run_id, case, "study")
    patient_id = f"{RESERVED_PATIENT}{protocol}"[:_LONGEST_ID]
    pixels, slope, intercept = _stored(stack.voxels)
    shared = _shared(stack, study_uid, patient_id)
    if modality != "MR" or (slope, intercept) != (1.0, 0.0):
        shared.RescaleSlope, shared.RescaleIntercept = _ds(slope), _ds(intercept)
        shared.RescaleType = "HU" if modality == "CT" else "US"
    if modality == "PT":
        _add_pet(shared, len(pixels))
    return Study(
        patient_id=patient_id,
        study_instance_uid=study_uid,
        files=tuple(
            _file(shared, stack, pixels[k], number=k, uid=derive_uid(study_uid, str(k)))
            for k in range(len(pixels))
        ),
    )


def _stored(voxels: NDArray[np.float64]) -> tuple[NDArray[np.int16], float, float]:
    """Return whole numbers with slope and intercept; whole numbers stay what they are."""
    low, high = float(voxels.min()), float(voxels.max())
    if np.array_equal(voxels, np.rint(voxels)) and low >= -_LARGEST and high <= _LARGEST:
        return voxels.astype(np.int16), 1.0, 0.0
    slope = float(f"{max(high - low, 1e-9) / _LARGEST:.9e}")
    intercept = float(f"{low:.9e}")
    stored = np.clip(np.rint((voxels - intercept) / slope), -_LARGEST, _LARGEST)
    return stored.astype(np.int16), slope, intercept


def _shared(stack: Stack, study_uid: str, patient_id: str) -> Dataset:
    """Return what every image says (PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.7.5.1, C.7.6)."""
    seen, ds = stack.acquisition, Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = _SOP_CLASSES[seen.modality]
    ds.PatientName, ds.PatientID = _NAME, patient_id
    ds.PatientBirthDate, ds.PatientSex = "", seen.sex
    if seen.age_years is not None:
        ds.PatientAge = f"{round(seen.age_years):03}Y"
    ds.QualityControlSubject = "YES"
    ds.StudyInstanceUID, ds.StudyID = study_uid, "QA"
    ds.StudyDate, ds.StudyTime = "20000101", "120000"
    ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Constancy"
    ds.Modality, ds.SeriesNumber = seen.modality, 1
    ds.SeriesInstanceUID = derive_uid(study_uid, "series")
    ds.SeriesDescription, ds.BodyPartExamined = stack.description, stack.body_part
    ds.PatientPosition = "HFS"
    ds.FrameOfReferenceUID = derive_uid(study_uid, "frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.Manufacturer = seen.manufacturer or "Phantom"
    ds.ManufacturerModelName = seen.model_name or "Constancy"
    ds.SoftwareVersions = seen.software_versions or "1"
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL" if seen.modality == "CT" else "OTHER"]
    ds.AcquisitionNumber = 1
    ds.BurnedInAnnotation = "NO"
    _add_acquisition(ds, stack)
    return ds


def _add_acquisition(ds: Dataset, stack: Stack) -> None:
    seen = stack.acquisition
    if seen.modality == "MR":
        ds.ScanningSequence = seen.scanning_sequence or "GR"
        ds.SequenceVariant, ds.ScanOptions = seen.sequence_variant or "NONE", ""
        ds.MRAcquisitionType, ds.EchoTrainLength = "3D", None
        ds.RepetitionTime, ds.EchoTime = seen.repetition_time_ms, seen.echo_time_ms
        ds.MagneticFieldStrength = seen.magnetic_field_strength_t
    if seen.modality == "CT":
        ds.KVP, ds.ConvolutionKernel = seen.kvp, seen.convolution_kernel
    if seen.contrast == "with":
        ds.ContrastBolusAgent = "Phantom"
    steps = np.linalg.norm(stack.affine[:3, :3], axis=0)
    ds.SliceThickness = _ds(float(steps[0]))
    ds.PixelSpacing = [_ds(float(steps[1])), _ds(float(steps[2]))]
    across, down = stack.affine[:3, 2] / steps[2], stack.affine[:3, 1] / steps[1]
    ds.ImageOrientationPatient = [_ds(float(one)) for one in (*across, *down)]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stack.voxels.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1


def _add_pet(ds: Dataset, slices: int) -> None:
    """Say that the values are SUVbw (PS3.3 C.8.9.1)."""
    ds.Units, ds.SUVType, ds.CountsSource = "GML", "BW", "EMISSION"
    ds.SeriesType = ["STATIC", "IMAGE"]
    ds.NumberOfSlices, ds.DecayCorrection = slices, "START"
    ds.CorrectedImage = ["DECY"]
    ds.SeriesDate = ds.AcquisitionDate = "20000101"
    ds.SeriesTime = ds.AcquisitionTime = "120000"
    ds.FrameReferenceTime = ds.ActualFrameDuration = 0


def _file(
    shared: Dataset, stack: Stack, pixels: NDArray[np.int16], *, number: int, uid: str
) -> bytes:
    ds = Dataset()
    ds.update(shared)
    ds.SOPInstanceUID, ds.InstanceNumber = UID(uid), number + 1
    corner = stack.affine @ np.array([number, 0, 0, 1])
    ds.ImagePositionPatient = [_ds(float(one)) for one in corner[:3]]
    ds.PixelData = np.ascontiguousarray(pixels, dtype="<i2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _ds(value: float) -> DSfloat:
    """Return a decimal string of at most 16 bytes (PS3.5 6.2)."""
    return DSfloat(value, auto_format=True)
