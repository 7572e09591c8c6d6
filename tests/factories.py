"""Studies made in code: real DICOM, known geometry, a patient who can be searched for."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    VLPhotographicImageStorage,
)

from clic_edge.domain.study import Instance, Series

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A patient; `CANARY` is one whose every value is found nowhere else."""

    name: str = "Testesen^Åse^Ærlig"
    patient_id: str = "0101011234"
    birth_date: str = "19010203"
    sex: str = "F"
    accession_number: str = "ACC-4711"
    study_instance_uid: str = "1.2.826.0.1.3680043.10.1561.1"
    uid_root: str = "1.2.826.0.1.3680043.10.1561.2"


CANARY = Patient(
    name="Kanariefugl^Gulnæb^Zzyzx",
    patient_id="CANARY9876543210",
    birth_date="19330917",
    accession_number="ACCKANARIE77",
    study_instance_uid="1.2.826.0.1.3680043.10.1561.77777777.1",
    uid_root="1.2.826.0.1.3680043.10.1561.77777777.2",
)


@dataclass(frozen=True, kw_only=True)
class Stack:
    """How the slices of a series lie; defaults give 1 mm axial T1 MR."""

    patient: Patient = field(default_factory=Patient)
    modality: str = "MR"
    series_number: int = 1
    description: str = "T1 hippocampus"
    orientation: tuple[float, ...] = AXIAL
    """Image Orientation (Patient)."""
    origin: tuple[float, float, float] = (-10.0, -20.0, 30.0)
    pixel_spacing: tuple[float, float] = (1.0, 1.0)
    """Between rows, between columns."""
    slice_step: float = 1.0
    """Millimetres along the normal from slice to slice."""
    slope: float = 1.0
    intercept: float = 0.0

    def position(self, index: float) -> NDArray[np.float64]:
        """Image Position (Patient) of slice `index`."""
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        return np.array(self.origin) + index * self.slice_step * np.cross(row, column)


def make_slice(stack: Stack, pixels: NDArray[np.int16], index: int) -> Dataset:
    """Return one valid single-frame MR or CT instance; `pixels` has shape (rows, columns)."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    _add_patient_and_study(ds, stack)
    _add_series_and_equipment(ds, stack)
    series_root = f"{stack.patient.uid_root}.{stack.series_number}"
    ds.SOPClassUID = MRImageStorage if stack.modality == "MR" else CTImageStorage
    ds.SOPInstanceUID = f"{series_root}.{index + 1}"
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER" if stack.modality == "MR" else "AXIAL"]
    ds.InstanceNumber = index + 1
    ds.AcquisitionNumber = 1
    ds.ImagePositionPatient = [round(float(x), 6) for x in stack.position(index)]
    ds.ImageOrientationPatient = list(stack.orientation)
    ds.PixelSpacing = list(stack.pixel_spacing)
    ds.SliceThickness = abs(stack.slice_step)
    ds.FrameOfReferenceUID = f"{stack.patient.uid_root}.9"
    ds.PositionReferenceIndicator = ""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    if stack.modality == "CT" or (stack.slope, stack.intercept) != (1.0, 0.0):
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = (
            stack.slope,
            stack.intercept,
            "HU" if stack.modality == "CT" else "US",
        )
    ds.PixelData = np.ascontiguousarray(pixels, dtype="<i2").tobytes()
    return ds


def _add_patient_and_study(ds: Dataset, stack: Stack) -> None:
    patient = stack.patient
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = patient.name
    ds.PatientID = patient.patient_id
    ds.PatientBirthDate = patient.birth_date
    ds.PatientSex = patient.sex
    ds.StudyInstanceUID = patient.study_instance_uid
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20260102"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "030405"
    ds.AccessionNumber = patient.accession_number
    ds.ReferringPhysicianName = ""
    ds.StudyID = "1"


def _add_series_and_equipment(ds: Dataset, stack: Stack) -> None:
    ds.Modality = stack.modality
    ds.SeriesInstanceUID = f"{stack.patient.uid_root}.{stack.series_number}"
    ds.SeriesNumber = stack.series_number
    ds.SeriesDescription = stack.description
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "BRAIN"
    ds.Manufacturer = "Phantom Works"
    ds.ManufacturerModelName = "Phantom 1"
    ds.SoftwareVersions = "1.0"
    if stack.modality == "MR":
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "GR", "SP", ""
        ds.MRAcquisitionType, ds.EchoTrainLength = "3D", 1
        ds.RepetitionTime, ds.EchoTime, ds.MagneticFieldStrength = 8.0, 3.0, 3.0
    else:
        ds.KVP, ds.ConvolutionKernel = 120, "B30f"


def file_bytes(ds: Dataset) -> bytes:
    """Return the dataset as a Part 10 file."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def make_datasets(stack: Stack, voxels: NDArray[np.int16]) -> list[Dataset]:
    """Return one dataset per slice; `voxels` has shape (slices, rows, columns)."""
    return [make_slice(stack, pixels, index) for index, pixels in enumerate(voxels)]


def series_of(datasets: list[Dataset]) -> Series:
    """Return the identified series that an archive would hand over, in the order given."""
    first = datasets[0]
    return Series(
        study_instance_uid=str(first.StudyInstanceUID),
        series_instance_uid=str(first.SeriesInstanceUID),
        patient_id=str(first.get("PatientID", "")),
        issuer_of_patient_id=str(first.get("IssuerOfPatientID", "")),
        instances=tuple(Instance(content=file_bytes(ds)) for ds in datasets),
    )


def ramp(shape: tuple[int, int, int] = (8, 10, 12)) -> NDArray[np.int16]:
    """Return voxels that are all different, so that a flip or a swap is always seen."""
    return np.arange(int(np.prod(shape)), dtype=np.int16).reshape(shape)


def make_series(stack: Stack | None = None, voxels: NDArray[np.int16] | None = None) -> Series:
    """Return a series of MR slices (or what `stack` says) holding `voxels` (default `ramp`)."""
    stack = stack or Stack()
    return series_of(make_datasets(stack, ramp() if voxels is None else voxels))


def canary_stack(**changes: object) -> Stack:
    """Return a stack of the canary patient."""
    return replace(Stack(patient=CANARY), **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Single images of one series: what camera, of which side; defaults give photographs of skin."""

    patient: Patient = field(default_factory=Patient)
    modality: str = "XC"
    sop_class_uid: str = VLPhotographicImageStorage
    series_number: int = 1
    description: str = "Dermoscopy"
    laterality: str = ""
    """Image Laterality (0020,0062)."""


def make_shot(shots: Shots, pixels: NDArray[np.uint8], index: int = 0) -> Dataset:
    """Return one valid single-frame image; `pixels` are (rows, columns) or (rows, columns, 3)."""
    (ds,) = make_datasets(
        Stack(
            patient=shots.patient, series_number=shots.series_number, description=shots.description
        ),
        np.zeros((1, 2, 2), np.int16),
    )
    for keyword in _OF_SLICES:
        del ds[keyword]
    ds.Modality = shots.modality
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = shots.sop_class_uid
    ds.SOPInstanceUID += f".{index + 1}"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.InstanceNumber = index + 1
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    if shots.laterality:
        ds.ImageLaterality = shots.laterality
    ds.PatientOrientation, ds.AcquisitionContextSequence = "", []
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    if pixels.ndim > 2:
        ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
        ds.PhotometricInterpretation = "RGB"
    content = np.ascontiguousarray(pixels, np.uint8).tobytes()
    ds.add_new("PixelData", "OB", content + b"\0" * (len(content) % 2))
    return ds


_OF_SLICES = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "PatientPosition",
    "BodyPartExamined",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "EchoTrainLength",
    "RepetitionTime",
    "EchoTime",
    "MagneticFieldStrength",
)


def skin(rows: int = 120, columns: int = 160, *, red: float = 0.5) -> NDArray[np.uint8]:
    """Return a photograph of blue skin, whose left part, a share `red` of it, is a red lesion."""
    pixels = np.zeros((rows, columns, 3), np.uint8)
    pixels[..., 2] = 255
    pixels[: rows // 2, : int(columns * red)] = (255, 0, 0)
    return pixels
