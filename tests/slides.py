"""Slides made in code: known tissue, known nuclei, as the tiled objects that scanners write."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from factories import Patient, file_bytes, series_of
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    VLWholeSlideMicroscopyImageStorage,
)

from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.inference.package import write_digests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.domain.study import Series

    Picture = NDArray[np.uint8]

Codec = Literal["native", "jpeg", "jpeg2000"]
Table = Literal["none", "basic", "extended"]
LABELLED = (0.0, -1.0, 0.0, -1.0, 0.0, 0.0)
"""Image Orientation (Slide) as scanners write it: the label to the right of an upright slide."""
GLASS = np.array((243, 243, 245), np.uint8)
HAEMATOXYLIN = np.array((0.650, 0.704, 0.286))
"""Optical density of red, green and blue, a unit vector (Ruifrok and Johnston, 2001)."""
EOSIN = np.array((0.072, 0.990, 0.105))
PEN = np.array((20, 60, 190), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """How a slide was scanned."""

    patient: Patient = field(default_factory=Patient)
    spacing_mm: float = 0.001
    """Of the finest level."""
    origin_mm: tuple[float, float] = (20.0, 40.0)
    orientation: tuple[float, ...] = LABELLED
    tile: tuple[int, int] = (64, 96)
    """Rows, columns."""
    full: bool = True
    codec: Codec = "native"
    table: Table = "basic"
    factors: tuple[int, ...] = (1, 4)
    """By which the levels are coarser than the finest."""
    absent: frozenset[int] = frozenset()
    """Tiles of each level that a sparse image leaves out, row by row from 0."""


def stained(shape: tuple[int, int], stains: Sequence[tuple[NDArray[np.float64], float]]) -> Picture:
    """Return what light comes through stains, each an optical density and how much of it."""
    density = sum(np.multiply.outer(np.full(shape, amount), stain) for stain, amount in stains)
    return np.clip(np.round(255 * 10**-density), 0, 255).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Painting:
    """A picture of a slide, and what is on it."""

    pixels: Picture
    tissue: NDArray[np.bool_]
    nuclei: NDArray[np.int64]
    """Centres, shape (n, 2): column, row."""


def painting(rows: int = 700, columns: int = 1000, *, nuclei: int = 60, seed: int = 7) -> Painting:
    """Return two pieces of pink tissue with dark round nuclei, a pen mark and a shadow on glass."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    tissue = ((x - 0.33 * columns) / (0.22 * columns)) ** 2 + (
        (y - 0.5 * rows) / (0.35 * rows)
    ) ** 2 < 1
    tissue |= (abs(x - 0.75 * columns) < 0.12 * columns) & (abs(y - 0.3 * rows) < 0.2 * rows)
    pixels = np.empty((rows, columns, 3), np.uint8)
    pixels[:] = GLASS
    pixels[tissue] = stained((1, 1), [(EOSIN, 0.35), (HAEMATOXYLIN, 0.06)])[0, 0]
    centres = _apart(np.argwhere(tissue)[:, ::-1], nuclei, rng=rng)
    dark = stained((1, 1), [(HAEMATOXYLIN, 0.9), (EOSIN, 0.2)])[0, 0]
    for column, row in centres:
        pixels[(x - column) ** 2 + (y - row) ** 2 <= 16] = dark
    pen = (abs(y - 0.93 * rows) < 0.02 * rows) & (x > 0.1 * columns) & (x < 0.5 * columns)
    pixels[pen] = PEN
    noise = rng.normal(0, 2, pixels.shape)
    return Painting(
        pixels=np.clip(pixels + noise, 0, 255).astype(np.uint8), tissue=tissue, nuclei=centres
    )


def _apart(places: NDArray[np.int64], count: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return places of which no two touch."""
    chosen: list[NDArray[np.int64]] = []
    for place in rng.permutation(places):
        if all(np.hypot(*(place - other)) > 14 for other in chosen):
            chosen.append(place)
        if len(chosen) == count:
            break
    return np.array(chosen)


def coarser(pixels: Picture, factor: int) -> Picture:
    """Return the mean over blocks; what does not fill a block is left out."""
    rows, columns = (size // factor * factor for size in pixels.shape[:2])
    blocks = pixels[:rows, :columns].reshape(rows // factor, factor, columns // factor, factor, 3)
    return np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)


def tiles_of(pixels: Picture, tile: tuple[int, int]) -> Iterator[Picture]:
    """Yield the tiles row by row; beyond the edge there is glass."""
    rows, columns = tile
    for top in range(0, pixels.shape[0], rows):
        for left in range(0, pixels.shape[1], columns):
            piece = np.empty((rows, columns, 3), np.uint8)
            piece[:] = GLASS
            part = pixels[top : top + rows, left : left + columns]
            piece[: part.shape[0], : part.shape[1]] = part
            yield piece


def encoded(tile: Picture, codec: Codec) -> bytes:
    """Return one tile as a frame."""
    if codec == "native":
        return tile.tobytes()
    buffer = io.BytesIO()
    if codec == "jpeg":
        Image.fromarray(tile).save(buffer, "JPEG", quality=95, subsampling=1)
    else:
        Image.fromarray(tile).save(buffer, "JPEG2000", no_jp2=True, irreversible=False, mct=1)
    return buffer.getvalue()


def sm_image(scan: Scan, pixels: Picture, *, factor: int = 1, flavour: str = "VOLUME") -> Dataset:
    """Return one image of the pyramid; `pixels` are those of its level."""
    ds = Dataset()
    _identify(ds, scan, factor=factor, flavour=flavour)
    spacing = scan.spacing_mm * factor
    _place(ds, scan, pixels.shape[:2], spacing=spacing)
    frames = [encoded(one, scan.codec) for one in tiles_of(pixels, scan.tile)]
    kept = [k for k in range(len(frames)) if scan.full or k not in scan.absent]
    _lay_out(ds, scan, kept, across=-(-pixels.shape[1] // scan.tile[1]))
    _fill(ds, scan, [frames[k] for k in kept])
    return ds


def _identify(ds: Dataset, scan: Scan, *, factor: int, flavour: str) -> None:
    patient = scan.patient
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID = patient.name, patient.patient_id
    ds.PatientBirthDate, ds.PatientSex = patient.birth_date, patient.sex
    ds.StudyInstanceUID = patient.study_instance_uid
    ds.SeriesInstanceUID = f"{patient.uid_root}.5"
    number = {"VOLUME": factor, "LABEL": 9001, "OVERVIEW": 9002, "THUMBNAIL": 9003}[flavour]
    ds.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    ds.SOPInstanceUID = f"{patient.uid_root}.5.{number}"
    ds.FrameOfReferenceUID = f"{patient.uid_root}.6"
    ds.PositionReferenceIndicator = "SLIDE_CORNER"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = "20260102"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = "030405"
    ds.AcquisitionDateTime = "20260102030405"
    ds.AccessionNumber, ds.StudyID = patient.accession_number, "1"
    ds.ReferringPhysicianName = ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "SM", 5, number
    ds.SeriesDescription = "HE"
    ds.Manufacturer, ds.ManufacturerModelName = "Phantom Works", "Scanner 1"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "1", "1.0"
    ds.VolumetricProperties = "VOLUME"
    origin = "ORIGINAL" if factor == 1 else "DERIVED"
    ds.ImageType = [origin, "PRIMARY", flavour, "NONE" if factor == 1 else "RESAMPLED"]
    ds.BurnedInAnnotation = "NO"
    ds.SpecimenLabelInImage = "NO" if flavour in {"VOLUME", "THUMBNAIL"} else "YES"
    ds.FocusMethod, ds.ExtendedDepthOfField = "AUTO", "NO"
    ds.ContainerIdentifier = f"C-{patient.accession_number}"
    ds.IssuerOfTheContainerIdentifierSequence = []
    ds.ContainerTypeCodeSequence = [code("433466003", "Microscope slide")]
    ds.AcquisitionContextSequence = []
    specimen = Dataset()
    specimen.SpecimenIdentifier = f"S-{patient.accession_number}"
    specimen.SpecimenUID = f"{patient.uid_root}.7"
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    specimen.SpecimenPreparationSequence = []
    ds.SpecimenDescriptionSequence = [specimen]
    ds.BarcodeValue = f"B-{patient.accession_number}"
    ds.LabelText = f"{patient.name} {patient.patient_id}"


def code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    """Return a coded concept."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _place(ds: Dataset, scan: Scan, shape: tuple[int, ...], *, spacing: float) -> None:
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns = shape
    ds.TotalPixelMatrixFocalPlanes = ds.NumberOfOpticalPaths = 1
    ds.ImagedVolumeHeight, ds.ImagedVolumeWidth = (size * spacing for size in shape)
    ds.ImagedVolumeDepth = 5.0
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = (
        round(float(value), 9) for value in first_pixel(scan, spacing)
    )
    ds.TotalPixelMatrixOriginSequence = [origin]
    ds.ImageOrientationSlide = list(scan.orientation)
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.IlluminationTypeCodeSequence = [code("111744", "Brightfield illumination", "DCM")]
    path.IlluminationColorCodeSequence = [code("414298005", "Full Spectrum")]
    path.ObjectiveLensPower = 20
    path.ICCProfile = b"\0" * 128
    ds.OpticalPathSequence = [path]
    measures = Dataset()
    measures.PixelSpacing = [spacing, spacing]
    measures.SliceThickness = measures.SpacingBetweenSlices = 0.005
    kind = Dataset()
    kind.FrameType = ds.ImageType
    identification = Dataset()
    identification.OpticalPathIdentifier = "1"
    groups = Dataset()
    groups.PixelMeasuresSequence = [measures]
    groups.WholeSlideMicroscopyImageFrameTypeSequence = [kind]
    groups.OpticalPathIdentificationSequence = [identification]
    ds.SharedFunctionalGroupsSequence = [groups]


def first_pixel(scan: Scan, spacing: float) -> NDArray[np.float64]:
    """Return the centre of a level's first pixel: the corner of the glass is the same for all."""
    row, column = np.array(scan.orientation[:2]), np.array(scan.orientation[3:5])
    return np.array(scan.origin_mm) + (row + column) * (spacing - scan.spacing_mm) / 2


def _lay_out(ds: Dataset, scan: Scan, kept: Sequence[int], *, across: int) -> None:
    organization = Dataset()
    organization.DimensionOrganizationUID = f"{scan.patient.uid_root}.8"
    ds.DimensionOrganizationSequence = [organization]
    ds.DimensionOrganizationType = "TILED_FULL" if scan.full else "TILED_SPARSE"
    ds.NumberOfFrames = len(kept)
    if scan.full:
        return
    matrix_spacing = float(
        ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing[0]
    )
    x0, y0 = first_pixel(scan, matrix_spacing)
    row, column = np.array(scan.orientation[:2]), np.array(scan.orientation[3:5])
    groups = []
    for k in kept:
        top, left = k // across * scan.tile[0], k % across * scan.tile[1]
        x, y = np.array((x0, y0)) + matrix_spacing * (row * left + column * top)
        place = Dataset()
        place.ColumnPositionInTotalImagePixelMatrix = left + 1
        place.RowPositionInTotalImagePixelMatrix = top + 1
        place.XOffsetInSlideCoordinateSystem = round(float(x), 9)
        place.YOffsetInSlideCoordinateSystem = round(float(y), 9)
        place.ZOffsetInSlideCoordinateSystem = 0.0
        group = Dataset()
        group.PlanePositionSlideSequence = [place]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups


def _fill(ds: Dataset, scan: Scan, frames: list[bytes]) -> None:
    ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
    ds.PhotometricInterpretation = {
        "native": "RGB",
        "jpeg": "YBR_FULL_422",
        "jpeg2000": "YBR_RCT",
    }[scan.codec]
    ds.Rows, ds.Columns = scan.tile
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.LossyImageCompression = "01" if scan.codec == "jpeg" else "00"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = {
        "native": ExplicitVRLittleEndian,
        "jpeg": JPEGBaseline8Bit,
        "jpeg2000": JPEG2000Lossless,
    }[scan.codec]
    if scan.codec == "native":
        ds.PixelData = b"".join(frames)
        ds["PixelData"].VR = "OB"
    elif scan.table == "extended":
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(
            frames
        )
    else:
        ds.PixelData = encapsulate(frames, has_bot=scan.table == "basic")
    if scan.codec != "native":
        ds["PixelData"].is_undefined_length = True


def pyramid(scan: Scan, pixels: Picture) -> list[Dataset]:
    """Return the images of all levels of a slide."""
    return [sm_image(scan, coarser(pixels, f), factor=f) for f in scan.factors]


def slide_series(scan: Scan | None = None, pixels: Picture | None = None) -> Series:
    """Return an identified series of a slide (default `painting`)."""
    pixels = painting().pixels if pixels is None else pixels
    return series_of(pyramid(scan or Scan(), pixels))


def clean_slide(datasets: Sequence[Dataset]) -> CleanSeries:
    """Return images as if they were clean: for tests of what comes after."""
    return CleanSeries(
        subject_id="subject",
        series_uid="2.25.1",
        instances=tuple(CleanInstance(content=file_bytes(one)) for one in datasets),
    )


TILES_TOML = """
id = "tiles"
version = "0.1"
title = "Tiles"
manufacturer = "Phantom Works"
intended_use = "tests"
limits = []
licence = "Apache-2.0"
weights = "model.onnx"

[operating_point]
name = "likely"
threshold = 0.5

[tiles]
spacing_mm = 0.001
size = 128
stride = 128
batch = 4
tissue_share = 0.5

[tiles.tissue]
step = "tissue"
spacing_mm = 0.008

[[tiles.scores]]
name = "tumour"
label = "Tumour"
quantity = { value = "122157", scheme = "DCM", meaning = "Probability" }
unit = { value = "1", scheme = "UCUM", meaning = "no units" }
activation = "sigmoid"

[[segments]]
number = 1
name = "tissue"
label = "Tissue"
category = { value = "85756007", scheme = "SCT", meaning = "Tissue" }
property_type = { value = "85756007", scheme = "SCT", meaning = "Tissue" }

[[segments]]
number = 2
name = "tumour"
label = "Tumour"
category = { value = "49755003", scheme = "SCT", meaning = "Morphologically Altered Structure" }
property_type = { value = "108369006", scheme = "SCT", meaning = "Neoplasm" }
"""


def slide_package(
    folder: Path, *, logit: float = 0.0, outputs: int = 1, old: str = "", new: str = ""
) -> Path:
    """Return `folder` holding a package whose network says the same of every tile."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.zeros((outputs, 3, 1, 1), np.float32)
    bias = np.full(outputs, logit, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["tiles", "weight", "bias"], ["same"]),
            helper.make_node("ReduceMean", ["same", "pixels"], ["scores"], keepdims=0),
        ],
        "tiles",
        [helper.make_tensor_value_info("tiles", floats, ["n", 3, "rows", "columns"])],
        [helper.make_tensor_value_info("scores", floats, ["n", outputs])],
        [
            onnx.numpy_helper.from_array(weight, "weight"),
            onnx.numpy_helper.from_array(bias, "bias"),
            onnx.numpy_helper.from_array(np.array([2, 3]), "pixels"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.toml").write_text(TILES_TOML.replace(old, new) if old else TILES_TOML)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    write_digests(folder)
    return folder
