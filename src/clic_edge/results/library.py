"""The image library of an SR (PS3.16 TID 1600): what was looked at, and how it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    UIDRefContentItem,
)
from pydicom.sr.codedict import codes

from clic_edge.results.sr_terms import laterality_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from highdicom.sr import ContentItem
    from pydicom.sr.coding import Code

    from clic_edge.results.source import Source

CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT
PIXELS = CodedConcept("{pixels}", "UCUM", "Pixels")
SOURCE = CodedConcept("260753009", "SCT", "Source")
COSINE = CodedConcept("{-1:1}", "UCUM", "{-1:1}")
MODALITIES = {
    getattr(codes.cid29, name).value: getattr(codes.cid29, name) for name in codes.cid29.dir()
}
ORIENTATION = (
    codes.DCM.ImageOrientationPatientRowX,
    codes.DCM.ImageOrientationPatientRowY,
    codes.DCM.ImageOrientationPatientRowZ,
    codes.DCM.ImageOrientationPatientColumnX,
    codes.DCM.ImageOrientationPatientColumnY,
    codes.DCM.ImageOrientationPatientColumnZ,
)


def image_library(source: Source, *, in_patient: bool = True) -> ContainerContentItem:
    """Return one group of all originals, with what they share; positions are theirs to tell."""
    group = ContainerContentItem(
        name=codes.DCM.ImageLibraryGroup, relationship_type=RelationshipTypeValues.CONTAINS
    )
    images = [
        ImageContentItem(
            name=SOURCE,
            referenced_sop_class_uid=image.sop_class_uid,
            referenced_sop_instance_uid=image.sop_instance_uid,
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
        for image in source.images
    ]
    group.ContentSequence = ContentSequence([*_descriptors(source, in_patient=in_patient), *images])
    library = ContainerContentItem(
        name=codes.DCM.ImageLibrary, relationship_type=RelationshipTypeValues.CONTAINS
    )
    library.ContentSequence = ContentSequence([group])
    return library


def _side(source: Source) -> list[ContentItem]:
    side = laterality_of(source)
    if side is None:
        return []
    value = CodedConcept(side.value, side.scheme, side.meaning)
    return [CodeContentItem(name=codes.DCM.ImageLaterality, value=value, relationship_type=CONTEXT)]


def _descriptors(source: Source, *, in_patient: bool) -> list[ContentItem]:
    """Return the descriptors of TID 1602 and 1604 that all originals have in common.

    A single image tells its side and its size, and not where it lies.
    """
    header, plane = source.header, source.planes[0]
    modality = MODALITIES.get(str(header.get("Modality", "")), codes.cid32.Other)
    shared: list[ContentItem] = [
        CodeContentItem(name=codes.DCM.Modality, value=modality, relationship_type=CONTEXT)
    ]
    size = [
        *_numbers([codes.DCM.PixelDataRows], [header.Rows], PIXELS),
        *_numbers([codes.DCM.PixelDataColumns], [header.Columns], PIXELS),
    ]
    if not in_patient:
        return [*shared, *_side(source), *size]
    return [
        *shared,
        UIDRefContentItem(
            name=codes.DCM.FrameOfReferenceUID,
            value=header.FrameOfReferenceUID,
            relationship_type=CONTEXT,
        ),
        *size,
        *_numbers(
            [codes.DCM.VerticalPixelSpacing, codes.DCM.HorizontalPixelSpacing],
            plane.pixel_spacing,
            codes.UCUM.Millimeter,
        ),
        *_numbers(ORIENTATION, plane.orientation, COSINE),
    ]


def _numbers(
    names: Iterable[Code], values: Iterable[float], unit: Code | CodedConcept
) -> list[NumContentItem]:
    return [
        NumContentItem(name=name, value=value, unit=unit, relationship_type=CONTEXT)
        for name, value in zip(names, values, strict=True)
    ]
