"""Write the segments of a prediction as a DICOM Segmentation (PS3.3 A.51)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import DSfloat

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.source import ImageReference, Source, read_source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from clic_edge.domain.prediction import Code, SegmentFinding
    from clic_edge.domain.volume import Geometry
    from clic_edge.results.writer import Analysis

SAME_DIRECTION = 1e-5
"""How far direction cosines may differ between slices: at 500 mm that is 0.005 mm."""

LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
"""What is derived of images that lost something says so too (PS3.3 C.7.6.1.1.5)."""

STAND_IN_ROOT = "2.25."
"""Under this the planes are told apart while highdicom works; gone before anything is written."""


def written_segments(analysis: Analysis) -> tuple[SegmentFinding, ...]:
    """Return the findings that have voxels, in the order of their Segment Number (from 1)."""
    return tuple(one for one in analysis.prediction.segments if one.voxel_count)


class SegWriter:
    """Writes a BINARY Segmentation on the planes of the original, empty frames omitted."""

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the segmentation, or nothing when no segment has a voxel.

        Every declared segment that has voxels is in it, numbered from 1; one without is told in
        the SR alone, since a segmentation needs a frame.

        Raises
        ------
        Defect
            As `read_source` raises; ``mask-off-grid`` or ``mixed-planes``: mask and images
            aren't one regular grid; ``seg-impossible``: the standard forbids what was asked.

        """
        del earlier  # a segmentation refers to the originals only
        if not written_segments(analysis):
            return ()
        source = read_source(analysis)
        _require_one_grid(analysis, source)
        with translated("seg-impossible", "A segmentation can't be made of images and mask."):
            seg = _segmentation(analysis, source)
            _refer_to_originals(seg, source)
            organisation = provenance.result_uid(analysis, ResultKind.SEG, "dimensions")
            for item in (*seg.DimensionIndexSequence, *seg.DimensionOrganizationSequence):
                item.DimensionOrganizationUID = organisation
            provenance.stamp(seg, analysis, source, kind=ResultKind.SEG)
            return (provenance.result_object(seg, ResultKind.SEG),)


def coded(code: Code) -> CodedConcept:
    """Return the code as highdicom takes it."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def _require_one_grid(analysis: Analysis, source: Source) -> None:
    """Raise unless mask and originals have one size, direction and spacing."""
    header, shape = source.header, analysis.prediction.geometry.shape
    if analysis.prediction.label_map.shape != shape or shape != (
        len(source.planes),
        header.get("Rows"),
        header.get("Columns"),
    ):
        raise Defect("mask-off-grid", "The mask isn't on the grid of the images.")
    if any(
        not np.allclose(plane.orientation, source.planes[0].orientation, atol=SAME_DIRECTION)
        or plane.pixel_spacing != source.planes[0].pixel_spacing
        for plane in source.planes
    ):
        raise Defect("mixed-planes", "The images don't share one orientation and pixel spacing.")


def _segmentation(analysis: Analysis, source: Source) -> Segmentation:
    geometry = analysis.prediction.geometry
    return Segmentation(
        source_images=_stand_ins(source, geometry),
        pixel_array=_renumbered(analysis),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(analysis),
        series_instance_uid=STAND_IN_ROOT + "1",
        series_number=1,
        sop_instance_uid=provenance.result_uid(analysis, ResultKind.SEG),
        instance_number=1,
        manufacturer=provenance.MANUFACTURER,
        manufacturer_model_name=provenance.MANUFACTURER,
        software_versions="1",
        device_serial_number="1",
        content_label="AI_SEGMENTATION",
        content_description=analysis.prediction.model.title[:64],
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def _stand_ins(source: Source, geometry: Geometry) -> list[Dataset]:
    """Return each plane as a single-frame image, whatever the originals are."""
    header = source.header
    distance = _plane_distance(geometry)
    images = []
    for k, plane in enumerate(source.planes):
        image = Dataset()
        image.update(source.identity)
        image.SOPClassUID = MRImageStorage
        image.SOPInstanceUID = f"{STAND_IN_ROOT}{k + 1}"
        image.SeriesInstanceUID = header.SeriesInstanceUID
        image.Modality = header.Modality
        image.FrameOfReferenceUID = header.FrameOfReferenceUID
        image.PositionReferenceIndicator = header.get("PositionReferenceIndicator", "")
        image.Rows, image.Columns = geometry.shape[1:]
        image.ImagePositionPatient = _decimals(plane.position)
        image.ImageOrientationPatient = _decimals(source.planes[0].orientation)
        image.PixelSpacing = _decimals(plane.pixel_spacing)
        image.SliceThickness = DSfloat(plane.thickness_mm or distance, auto_format=True)
        image.SpacingBetweenSlices = DSfloat(distance, auto_format=True)
        for keyword in LOSSY:
            if keyword in header:
                image[keyword] = header[keyword]
        images.append(image)
    return images


def _decimals(values: Iterable[float]) -> list[DSfloat]:
    """Return decimal strings of at most 16 characters (PS3.5 6.2)."""
    return [DSfloat(value, auto_format=True) for value in values]


def _plane_distance(geometry: Geometry) -> float:
    """Return the distance of neighbouring planes along their normal, also of a tilted stack."""
    normal = np.cross(geometry.affine[:3, 2], geometry.affine[:3, 1])
    return float(abs(normal @ geometry.affine[:3, 0]) / np.linalg.norm(normal))


def _renumbered(analysis: Analysis) -> NDArray[np.uint8]:
    """Return the label map with the numbers that the segments have in the object."""
    numbers = np.zeros(256, dtype=np.uint8)
    for number, finding in enumerate(written_segments(analysis), start=1):
        numbers[finding.definition.number] = number
    label_map = analysis.prediction.label_map
    if np.array_equal(numbers[: label_map.max() + 1], np.arange(label_map.max() + 1)):
        return label_map
    return numbers[label_map]


def _descriptions(analysis: Analysis) -> list[SegmentDescription]:
    model = analysis.prediction.model
    algorithm = AlgorithmIdentificationSequence(
        name=model.title[:64],
        family=codes.DCM.ArtificialIntelligence,
        version=model.version,
        source=model.manufacturer,
    )
    descriptions = []
    for number, finding in enumerate(written_segments(analysis), start=1):
        definition = finding.definition
        description = SegmentDescription(
            segment_number=number,
            segment_label=definition.label,
            segmented_property_category=coded(definition.category),
            segmented_property_type=coded(definition.property_type),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=provenance.tracking_uid(analysis, definition),
            tracking_id=provenance.tracking_id(analysis, definition),
        )
        if definition.modifier:
            (kind,) = description.SegmentedPropertyTypeCodeSequence
            kind.SegmentedPropertyTypeModifierCodeSequence = [coded(definition.modifier)]
        descriptions.append(description)
    return descriptions


def _refer_to_originals(seg: Segmentation, source: Source) -> None:
    """Put the originals where highdicom referred to the stand-ins."""
    references = [
        frame.DerivationImageSequence[0].SourceImageSequence[0]
        for frame in seg.PerFrameFunctionalGroupsSequence
    ]  # frames of one plane share theirs
    stand_ins = [item.ReferencedSOPInstanceUID for item in references]
    for reference, stand_in in zip(references, stand_ins, strict=True):
        plane = source.planes[int(stand_in.removeprefix(STAND_IN_ROOT)) - 1]
        reference.ReferencedSOPClassUID = plane.image.sop_class_uid
        reference.ReferencedSOPInstanceUID = plane.image.sop_instance_uid
        if plane.frame_number is not None:
            reference.ReferencedFrameNumber = plane.frame_number
    images = [_reference(image) for image in source.images]
    seg.SourceImageSequence = images
    seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence = images


def _reference(image: ImageReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.sop_class_uid
    item.ReferencedSOPInstanceUID = image.sop_instance_uid
    return item
