"""A volume as files, for a model that reads files: NIfTI, or DICOM as a scanner writes it.

The DICOM is made of the volume alone, so it tells nothing that the volume does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.nifti1 import Nifti1Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SOP_CLASSES = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
}
_GREATEST = 65535


def write_nifti(path: Path, volume: Volume, voxels: NDArray[np.generic]) -> None:
    """Write voxels (slices, rows, columns) with the volume's place; the axes stay in this order."""
    affine = LPS_TO_RAS @ volume.geometry.affine
    image = Nifti1Image(voxels, affine)  # type: ignore[no-untyped-call] # nibabel's
    image.to_filename(path)


def write_dicom(folder: Path, volume: Volume, voxels: NDArray[np.generic]) -> None:
    """Write one instance for each slice, of a study and a patient that nobody knows.

    Whole numbers are kept; others are rounded to one of 65,536 steps from least to greatest.
    """
    stored, slope, intercept = _stored(voxels)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for index, pixels in enumerate(stored):
        slice_ = _plane(volume, index)
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID = study, series
        slice_.FrameOfReferenceUID = frame
        slice_.RescaleSlope, slice_.RescaleIntercept = f"{slope:.10g}", f"{intercept:.10g}"
        slice_.PixelRepresentation = int(np.issubdtype(stored.dtype, np.signedinteger))
        slice_.PixelData = np.ascontiguousarray(pixels).tobytes()
        slice_.save_as(folder / f"{index + 1:05}.dcm", enforce_file_format=True)


def _stored(voxels: NDArray[np.generic]) -> tuple[NDArray[np.generic], float, float]:
    """Return 16-bit values, and by which slope and intercept they become the voxels."""
    if voxels.dtype == np.int16:
        return voxels, 1.0, 0.0
    low, high = float(voxels.min()), float(voxels.max())
    slope = (high - low) / _GREATEST or 1.0
    steps = (voxels.astype(np.float64) - low) / slope
    return np.rint(steps).astype(np.uint16), slope, low


def _plane(volume: Volume, index: int) -> Dataset:
    """Return a slice without its pixels (PS3.3 C.7.6.2, C.7.6.3)."""
    affine, (_, *in_plane) = volume.geometry.affine, volume.geometry.spacing_mm
    rows, columns = affine[:3, 1] / in_plane[0], affine[:3, 2] / in_plane[1]
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = _SOP_CLASSES.get(volume.acquisition.modality, SecondaryCaptureImageStorage)
    made.SOPInstanceUID = generate_uid()
    made.Modality = volume.acquisition.modality
    made.PatientName = made.PatientID = "volume"
    made.PatientBirthDate = made.PatientSex = made.StudyDate = made.StudyTime = ""
    made.AccessionNumber = made.ReferringPhysicianName = made.StudyID = made.Manufacturer = ""
    made.PositionReferenceIndicator = ""
    made.SeriesNumber, made.InstanceNumber = 1, index + 1
    made.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
    made.ImagePositionPatient = [_decimal(x) for x in affine[:3] @ (index, 0, 0, 1)]
    made.ImageOrientationPatient = [_decimal(x) for x in (*columns, *rows)]
    made.PixelSpacing = [_decimal(step) for step in in_plane]
    made.SliceThickness = _decimal(volume.geometry.spacing_mm[0])
    made.Rows, made.Columns = volume.geometry.shape[1:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit = 15
    return made


def _decimal(value: float) -> str:
    """Return a number in at most the 16 characters of a decimal string (PS3.5 6.2)."""
    return f"{value:.9g}"
