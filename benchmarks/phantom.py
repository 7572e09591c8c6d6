"""A CT of a body that nobody has: the same voxels each time, and a mask that is known.

Air, a body of fat and muscle, and three organs that differ in HU: what `package.py`'s network
tells apart. The noise is a scanner's, so that nothing compresses better than it would in life.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, CTImageStorage, ExplicitVRLittleEndian

from clic_edge.domain.study import Instance, Series

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

FIELD_OF_VIEW_MM = 384.0
SLICE_STEP_MM = 1.0
NOISE_HU = 15.0
AIR_HU, FAT_HU, MUSCLE_HU = -1000, -80, 30
STORED_AT_ZERO_HU = 1024
"""The stored value of water; Rescale Intercept is its negative."""


@dataclass(frozen=True, kw_only=True)
class Organ:
    """An ellipsoid of one HU; lengths are shares of the phantom's extent (z, y, x)."""

    name: str
    code: str
    """SNOMED CT."""
    hu: int
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]


ORGANS = (
    Organ(
        name="Liver", code="10200004", hu=200, centre=(0.40, 0.48, 0.36), radii=(0.25, 0.17, 0.16)
    ),
    Organ(
        name="Spleen", code="78961009", hu=400, centre=(0.35, 0.58, 0.70), radii=(0.15, 0.08, 0.07)
    ),
    Organ(
        name="Spine", code="421060004", hu=800, centre=(0.50, 0.72, 0.52), radii=(0.90, 0.06, 0.06)
    ),
)


@dataclass(frozen=True)
class Phantom:
    """A CT series made in code; `study` tells otherwise equal studies apart."""

    slices: int = 300
    size: int = 512
    study: int = 1

    @property
    def uid_root(self) -> str:
        """The study's UID, under which its series and instances are named."""
        return f"1.2.826.0.1.3680043.10.1561.42.{self.study}"

    @property
    def pixel_spacing_mm(self) -> float:
        """Distance between rows and between columns."""
        return FIELD_OF_VIEW_MM / self.size

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Shape (slices, rows, columns): 0 for background, then `ORGANS` from 1."""
        return _mask((self.slices, self.size, self.size))

    @property
    def voxels(self) -> NDArray[np.int16]:
        """Stored values, shape (slices, rows, columns); HU are these less `STORED_AT_ZERO_HU`."""
        return _voxels((self.slices, self.size, self.size))

    def contents(self) -> Iterator[bytes]:
        """Yield a Part 10 file for each slice."""
        for index, pixels in enumerate(self.voxels):
            ds = self._slice(index)
            ds.PixelData = pixels.astype("<i2").tobytes()
            buffer = io.BytesIO()
            ds.save_as(buffer, enforce_file_format=True)
            yield buffer.getvalue()

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write the slices into a new folder and return their paths in order."""
        folder.mkdir(parents=True)
        paths = tuple(folder / f"{index:04d}.dcm" for index in range(self.slices))
        for path, content in zip(paths, self.contents(), strict=True):
            path.write_bytes(content)
        return paths

    def _slice(self, index: int) -> Dataset:
        """Return everything but the pixels of one instance (PS3.3 A.3, CT Image IOD)."""
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        uid = UID(f"{self.uid_root}.1.{index + 1}")
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
        self._add_study(ds)
        ds.InstanceNumber, ds.AcquisitionNumber = index + 1, 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        corner = -FIELD_OF_VIEW_MM / 2
        ds.ImagePositionPatient = [corner, corner, index * SLICE_STEP_MM]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing = [self.pixel_spacing_mm] * 2
        ds.SliceThickness = SLICE_STEP_MM
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{self.uid_root}.9", ""
        ds.KVP, ds.ConvolutionKernel = 120, "B30f"
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows = ds.Columns = self.size
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 1
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -STORED_AT_ZERO_HU, "HU"
        return ds

    def _add_study(self, ds: Dataset) -> None:
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.PatientName, ds.PatientID = f"Phantom^Body^{self.study}", f"PHANTOM-{self.study}"
        ds.PatientBirthDate, ds.PatientSex = "19010203", "O"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = self.uid_root, f"{self.uid_root}.1"
        ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", f"A{self.study}", ""
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20260102"
        ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "030405"
        ds.Modality, ds.SeriesNumber, ds.SeriesDescription = "CT", 1, "Body 1.0"
        ds.PatientPosition, ds.BodyPartExamined = "HFS", "ABDOMEN"
        ds.Manufacturer, ds.ManufacturerModelName = "Phantom Works", "Phantom 1"
        ds.SoftwareVersions = "1.0"


def series_of(phantom: Phantom, contents: tuple[bytes, ...]) -> Series:
    """Return the phantom as an archive would hand it over."""
    return Series(
        study_instance_uid=phantom.uid_root,
        series_instance_uid=f"{phantom.uid_root}.1",
        patient_id=f"PHANTOM-{phantom.study}",
        issuer_of_patient_id="",
        instances=tuple(Instance(content=content) for content in contents),
    )


@cache
def _mask(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    mask = np.zeros(shape, np.uint8)
    for number, organ in enumerate(ORGANS, start=1):
        mask[_ellipsoid(shape, organ.centre, organ.radii)] = number
    mask.flags.writeable = False
    return mask


@cache
def _voxels(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    hu = np.full(shape, AIR_HU, np.int16)
    hu[_ellipsoid(shape, (0.5, 0.52, 0.5), (9, 0.36, 0.44))] = FAT_HU
    hu[_ellipsoid(shape, (0.5, 0.52, 0.5), (9, 0.33, 0.41))] = MUSCLE_HU
    for number, organ in enumerate(ORGANS, start=1):
        hu[_mask(shape) == number] = organ.hu
    random = np.random.default_rng(42)
    for plane in hu:
        noise = random.normal(0, NOISE_HU, plane.shape)
        plane[:] = np.clip(plane + noise, -STORED_AT_ZERO_HU, 3071)
    return hu + np.int16(STORED_AT_ZERO_HU)


def _ellipsoid(
    shape: tuple[int, int, int],
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
) -> NDArray[np.bool_]:
    z, y, x = (
        ((np.arange(count, dtype=np.float32) + 0.5) / count - middle) / radius
        for count, middle, radius in zip(shape, centre, radii, strict=True)
    )
    inside: NDArray[np.bool_] = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < 1
    return inside
