"""What the three forms of a DICOM Segmentation share (PS3.3 A.51 and A.87)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from highdicom.color import CIELabColor
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import SegmentationStorage
from pydicom.valuerep import DSfloat

from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.errors import ConfigError, Defect
from clic_edge.results import provenance
from clic_edge.results.colours import colour_of
from clic_edge.results.encoding import part10
from clic_edge.results.frames import per_frame_groups, pixel_data

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pydicom.uid import UID

    from clic_edge.domain.prediction import Code, SegmentFinding
    from clic_edge.domain.volume import Geometry
    from clic_edge.results.frames import Pixels, Place
    from clic_edge.results.source import ImageReference, Source
    from clic_edge.results.writer import Analysis

SAME_DIRECTION = 1e-5
"""How far direction cosines may differ between slices: at 500 mm that is 0.005 mm."""

LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
"""What is derived of images that lost something says so too (PS3.3 C.7.6.1.1.5)."""

SEGMENT = ("ReferencedSegmentNumber", "SegmentIdentificationSequence")
PLANE = ("ImagePositionPatient", "PlanePositionSequence")
"""What frames are indexed by, with the functional group that holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """The frames of one object, in its order; empty ones are left out."""

    places: tuple[Place, ...]
    pixels: Iterable[Pixels]
    """As many as `places`, made when they are asked for."""


def coded(code: Code) -> CodedConcept:
    """Return the code as highdicom takes it."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def require_syntax(transfer_syntax: UID, takes: Collection[UID]) -> UID:
    """Return the transfer syntax.

    Raises
    ------
    ConfigError
        ``unsupported-transfer-syntax``: it isn't one that this form of object is written in.

    """
    if transfer_syntax not in takes:
        names = ", ".join(one.name for one in takes)
        raise ConfigError(
            "unsupported-transfer-syntax",
            f"Such a segmentation isn't written as {transfer_syntax.name}, only as {names}.",
        )
    return transfer_syntax


def require_one_grid(analysis: Analysis, source: Source) -> None:
    """Raise unless mask, maps and originals have one size, direction and spacing.

    Raises
    ------
    Defect
        ``mask-off-grid`` or ``mixed-planes``.

    """
    prediction, header = analysis.prediction, source.header
    shape = prediction.geometry.shape
    shapes = {prediction.label_map.shape, *(one.values.shape for one in prediction.maps)}
    images = (len(source.planes), header.get("Rows"), header.get("Columns"))
    if shape != images or shapes != {shape}:
        raise Defect("mask-off-grid", "The mask isn't on the grid of the images.")
    if any(
        not np.allclose(plane.orientation, source.planes[0].orientation, atol=SAME_DIRECTION)
        or plane.pixel_spacing != source.planes[0].pixel_spacing
        for plane in source.planes
    ):
        raise Defect("mixed-planes", "The images don't share one orientation and pixel spacing.")


def descriptions(
    analysis: Analysis, segments: Iterable[SegmentFinding]
) -> list[SegmentDescription]:
    """Return the Segment Sequence (0062,0002), numbered from 1: what each segment is."""
    model = analysis.prediction.model
    algorithm = AlgorithmIdentificationSequence(
        name=model.title[:64],
        family=codes.DCM.ArtificialIntelligence,
        version=model.version,
        source=model.manufacturer,
    )
    items = []
    for number, finding in enumerate(segments, start=1):
        definition = finding.definition
        item = SegmentDescription(
            segment_number=number,
            segment_label=definition.label,
            segmented_property_category=coded(definition.category),
            segmented_property_type=coded(definition.property_type),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=provenance.tracking_uid(analysis, definition),
            tracking_id=provenance.tracking_id(analysis, definition),
            display_color=CIELabColor.from_rgb(*colour_of(definition.number)),
        )
        if definition.modifier:
            (kind,) = item.SegmentedPropertyTypeCodeSequence
            kind.SegmentedPropertyTypeModifierCodeSequence = [coded(definition.modifier)]
        items.append(item)
    return items


def header_of(analysis: Analysis, source: Source, kind: ResultKind) -> Dataset:
    """Return all but the segments, the frames and what tells the forms apart."""
    ds = Dataset()
    provenance.stamp(ds, analysis, source, kind=kind)
    ds.SOPClassUID = SegmentationStorage
    ds.Modality = "SEG"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.ContentLabel = "AI_SEGMENTATION"
    ds.ContentDescription = analysis.prediction.model.title[:64]
    ds.ContentCreatorName = ""
    geometry = analysis.prediction.geometry
    if geometry.in_patient:
        ds.FrameOfReferenceUID = source.header.FrameOfReferenceUID
        ds.PositionReferenceIndicator = source.header.get("PositionReferenceIndicator", "")
    else:  # PS3.3 C.7.6.1: where no vector says it
        ds.PatientOrientation = ""
    ds.LossyImageCompression = "00"
    for keyword in (one for one in LOSSY if one in source.header):
        ds[keyword] = source.header[keyword]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = geometry.shape[1:]
    ds.PixelRepresentation = 0
    images = [_reference(image) for image in source.images]
    series = Dataset()
    series.SeriesInstanceUID = source.header.SeriesInstanceUID
    series.ReferencedInstanceSequence = images
    ds.ReferencedSeriesSequence, ds.SourceImageSequence = [series], images
    ds.SharedFunctionalGroupsSequence = [_shared_groups(source, geometry)]
    dimensions = (PLANE,) if kind is ResultKind.SEG_LABELMAP else (SEGMENT, PLANE)
    if not geometry.in_patient:
        dimensions = (SEGMENT,)
    _add_dimensions(ds, provenance.result_uid(analysis, kind, "dimensions"), dimensions)
    return ds


def segmentation_object(
    ds: Dataset, source: Source, frames: Frames, *, kind: ResultKind, transfer_syntax: UID
) -> ResultObject:
    """Return the object that `ds` describes, with its frames; each is looked at once, in order."""
    ds.NumberOfFrames = len(frames.places)
    groups = per_frame_groups(source, frames.places, in_patient="FrameOfReferenceUID" in ds)
    tail = chain((groups,), pixel_data(ds, frames.pixels, transfer_syntax))
    return ResultObject(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        content=part10(ds, tail, transfer_syntax),
    )


def set_bits(ds: Dataset, bits: int) -> None:
    """Say how many bits a pixel has (PS3.3 C.7.6.3)."""
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1


def _add_dimensions(ds: Dataset, organisation: str, dimensions: Iterable[tuple[str, str]]) -> None:
    """Say by what frames are indexed (PS3.3 C.7.6.17): in the order of their index values."""
    item = Dataset()
    item.DimensionOrganizationUID = organisation
    ds.DimensionOrganizationSequence = [item]
    ds.DimensionIndexSequence = []
    for attribute, group in dimensions:
        item = Dataset()
        item.DimensionOrganizationUID = organisation
        item.DimensionIndexPointer, item.FunctionalGroupPointer = Tag(attribute), Tag(group)
        item.DimensionDescriptionLabel = dictionary_description(attribute)
        ds.DimensionIndexSequence.append(item)


def _shared_groups(source: Source, geometry: Geometry) -> Dataset:
    """Return how all frames lie; of a single image nothing is said, as nothing is known."""
    if not geometry.in_patient:
        return Dataset()
    plane, distance = source.planes[0], _plane_distance(geometry)
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = _decimals(plane.orientation)
    measures.SliceThickness, measures.SpacingBetweenSlices = _decimals(
        [plane.thickness_mm or distance, distance]
    )
    measures.PixelSpacing = _decimals(plane.pixel_spacing)
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    return shared


def _decimals(values: Iterable[float]) -> list[DSfloat]:
    """Return decimal strings of at most 16 characters (PS3.5 6.2)."""
    return [DSfloat(value, auto_format=True) for value in values]


def _plane_distance(geometry: Geometry) -> float:
    """Return the distance of neighbouring planes along their normal, also of a tilted stack."""
    normal = np.cross(geometry.affine[:3, 2], geometry.affine[:3, 1])
    return float(abs(normal @ geometry.affine[:3, 0]) / np.linalg.norm(normal))


def _reference(image: ImageReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.sop_class_uid
    item.ReferencedSOPInstanceUID = image.sop_instance_uid
    return item
