"""A real MR study without a patient: both hippocampi of the ICBM 152 average brain.

The T1 template (1 mm, brain only, 8 bits) is in the nilearn wheel, so nothing is downloaded.
nilearn is BSD-3-Clause. The template is ICBM 152 nonlinear symmetric 2009a: Copyright (C)
1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill
University; use, copying, modification and distribution for any purpose and without fee are
granted provided that this notice appears in all copies; as is, without warranty.
Fonov et al., NeuroImage 54 (2011), doi:10.1016/j.neuroimage.2010.07.033.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from nibabel.nifti1 import Nifti1Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_TEMPLATE: Final = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
_GREY_LEVELS: Final = 16
"""8 bits of the template become the 12 bits of a scanner."""
_LEFT_HIPPOCAMPUS: Final = (-24.0, -22.0, -12.0)
_RIGHT_HIPPOCAMPUS: Final = (24.0, -22.0, -12.0)
"""Middle of the box in MNI millimetres; each hippocampus lies a little lateral of it,
as in the crops that the model was trained on."""
_BOX_MM: Final = (36, 52, 44)
"""Size of the box along x, y, z."""
_ALL: Final = slice(None)
_NOTICE: Final = (
    "ICBM 152 nonlinear 2009a average of 152 T1 scans, (C) 1993-2004 Louis Collins, McConnell "
    "Brain Imaging Centre, Montreal Neurological Institute, McGill University"
)


def make_demo_study(out: Path) -> tuple[Path, ...]:
    """Write the study below `out`, a folder for each series, and return its files.

    A localizer in three planes, which no pipeline should take, and one crop around each
    hippocampus: 44 axial slices of 52 x 36 pixels, 1 mm. The same bytes every time.

    Raises
    ------
    ConfigError
        ``no-template``: nilearn is not installed.

    """
    head = _Head.load()
    study = (
        _localizer(head),
        _crop(head, 2, side="left", centre=_LEFT_HIPPOCAMPUS),
        _crop(head, 3, side="right", centre=_RIGHT_HIPPOCAMPUS),
    )
    return tuple(path for series in study for path in _write(series, out))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    """One image, and where it lies in the patient."""

    pixels: NDArray[np.uint16]
    """Shape (rows, columns)."""
    position: tuple[float, float, float]
    """Image Position (Patient), millimetres in LPS."""
    orientation: tuple[int, ...]
    """Image Orientation (Patient)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """One series of the study."""

    number: int
    folder: str
    description: str
    image_type: tuple[str, ...]
    slices: tuple[_Slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """The template, its axes turned to LPS; a voxel is a cubic millimetre."""

    voxels: NDArray[np.uint16]
    """Shape (x, y, z), towards left, posterior and superior."""
    corner: NDArray[np.float64]
    """Where voxel (0, 0, 0) lies, millimetres in LPS."""

    @classmethod
    def load(cls) -> _Head:
        nilearn = find_spec("nilearn")  # finds it without importing scikit-learn and all
        if nilearn is None or not nilearn.submodule_search_locations:
            sentence = "The demo study needs the nilearn package: pip install 'clic-edge[demo]'."
            raise ConfigError("no-template", sentence)
        folder = Path(nilearn.submodule_search_locations[0])
        image = Nifti1Image.from_filename(folder / _TEMPLATE)
        voxels = np.asarray(image.dataobj).astype(np.uint16)[::-1, ::-1] * _GREY_LEVELS
        # The last voxel along x and y of the RAS array comes first here.
        far = image.affine @ np.array((voxels.shape[0] - 1, voxels.shape[1] - 1, 0, 1))
        return cls(voxels=voxels, corner=far[:3] * (-1, -1, 1))

    def voxel_at(self, place: tuple[float, float, float]) -> tuple[int, int, int]:
        """Return the voxel at a place in MNI millimetres, which are RAS."""
        x, y, z = np.rint(np.array(place) * (-1, -1, 1) - self.corner).astype(int)
        return int(x), int(y), int(z)

    def axial(self, z: int, x: slice = _ALL, y: slice = _ALL) -> _Slice:
        """Return a slice whose rows run to the left and columns to the back."""
        corner = (x.start or 0, y.start or 0, z)
        return self._slice(self.voxels[x, y, z], corner, (1, 0, 0, 0, 1, 0))

    def coronal(self, y: int) -> _Slice:
        """Return a slice whose rows run to the left and columns down."""
        corner = (0, y, self.voxels.shape[2] - 1)
        return self._slice(self.voxels[:, y, ::-1], corner, (1, 0, 0, 0, 0, -1))

    def sagittal(self, x: int) -> _Slice:
        """Return a slice whose rows run to the back and columns down."""
        corner = (x, 0, self.voxels.shape[2] - 1)
        return self._slice(self.voxels[x, :, ::-1], corner, (0, 1, 0, 0, 0, -1))

    def _slice(
        self, voxels: NDArray[np.uint16], corner: tuple[int, int, int], orientation: tuple[int, ...]
    ) -> _Slice:
        x, y, z = (float(millimetres) for millimetres in self.corner + np.array(corner))
        return _Slice(pixels=voxels.T, position=(x, y, z), orientation=orientation)


def _localizer(head: _Head) -> _Series:
    x, y, z = head.voxel_at(_LEFT_HIPPOCAMPUS)
    return _Series(
        number=1,
        folder="localizer",
        description="Localizer hippocampus",
        image_type=("DERIVED", "SECONDARY", "OTHER", "LOCALIZER"),
        slices=(head.axial(z), head.coronal(y), head.sagittal(x)),
    )


def _crop(head: _Head, number: int, *, side: str, centre: tuple[float, float, float]) -> _Series:
    x, y, z = (
        slice(at - size // 2, at + size // 2)
        for at, size in zip(head.voxel_at(centre), _BOX_MM, strict=True)
    )
    return _Series(
        number=number,
        folder=f"hippocampus-{side}",
        description=f"T1 hippocampus {side}",
        image_type=("DERIVED", "SECONDARY", "OTHER"),
        slices=tuple(head.axial(level, x, y) for level in range(z.start, z.stop)),
    )


def _write(series: _Series, out: Path) -> Iterator[Path]:
    folder = out / series.folder
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(series.slices, start=1):
        path = folder / f"{number:03}.dcm"
        _dataset(series, image, number).save_as(path, enforce_file_format=True)
        yield path


def _dataset(series: _Series, image: _Slice, number: int) -> Dataset:
    """Return an MR Image (PS3.3 A.4.3)."""
    ds = Dataset()
    _add_patient_and_study(ds)
    _add_series_and_equipment(ds, series)
    _add_acquisition(ds)
    _add_image(ds, image)
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = _uid(f"{series.folder} {number}")
    ds.InstanceNumber = number
    ds.ImageType = list(series.image_type)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def _add_patient_and_study(ds: Dataset) -> None:
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = "Jørgensen^Åse"
    ds.PatientID = "DEMO-ÆØÅ-1"
    ds.PatientBirthDate = "19520229"
    ds.PatientSex = "F"
    ds.PatientComments = "Nobody: an average of 152 healthy brains"
    ds.StudyInstanceUID = _uid("study")
    ds.StudyID = "DEMO"
    ds.StudyDate, ds.StudyTime = "20260115", "093000"
    ds.StudyDescription = "MR hippocampus, demonstration"
    ds.AccessionNumber = "DEMO-2026-1"
    ds.ReferringPhysicianName = "Læge^Søren"


def _add_series_and_equipment(ds: Dataset, series: _Series) -> None:
    ds.Modality = "MR"
    ds.SeriesInstanceUID = _uid(series.folder)
    ds.SeriesNumber = ds.AcquisitionNumber = series.number
    ds.SeriesDescription = series.description
    ds.SeriesDate = ds.ContentDate = "20260115"
    ds.SeriesTime = ds.ContentTime = f"093{series.number}00"
    ds.BodyPartExamined = "BRAIN"
    ds.PatientPosition = "HFS"
    ds.FrameOfReferenceUID = _uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.Manufacturer = "Montreal Neurological Institute"
    ds.ManufacturerModelName = "ICBM 152"
    ds.SoftwareVersions = "nonlinear symmetric 2009a"


def _add_acquisition(ds: Dataset) -> None:
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "GR", "MP", ""
    ds.MRAcquisitionType = "3D"
    ds.MagneticFieldStrength = 1.5
    # An average of many scans has none of these, and may leave them empty (PS3.3 C.8.3.1).
    ds.RepetitionTime = ds.EchoTime = ds.EchoTrainLength = None
    ds.DerivationDescription = _NOTICE


def _add_image(ds: Dataset, image: _Slice) -> None:
    ds.ImagePositionPatient = list(image.position)
    ds.ImageOrientationPatient = list(image.orientation)
    ds.PixelSpacing = [1, 1]
    ds.SliceThickness = 1
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = image.pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth = 2400, 3600
    ds.PixelData = np.ascontiguousarray(image.pixels, dtype="<u2").tobytes()


def _uid(what: str) -> str:
    return generate_uid(entropy_srcs=["clic-edge demo study 1", what])
