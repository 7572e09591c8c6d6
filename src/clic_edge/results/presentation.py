"""Write the outlines as a Grayscale Softcopy Presentation State (PS3.3 A.33.1): lines over images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from highdicom.color import CIELabColor
from highdicom.content import ModalityLUTTransformation
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from pydicom.dataset import Dataset

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind
from clic_edge.results import provenance
from clic_edge.results.colours import colour_of
from clic_edge.results.drawing import window_of
from clic_edge.results.outlines import areas_of, key_slices, outlines
from clic_edge.results.source import read_source
from clic_edge.results.wording import finding_lines, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from clic_edge.domain.prediction import SegmentFinding
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis


class PresentationWriter:
    """Writes one state for a series: a layer for each segment, in the colour of its pictures."""

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the state; nothing where no segment has a voxel, or of a single image or a slide.

        Outlines run on the borders of pixels (units PIXEL, C.10.5.1.2).

        Raises
        ------
        Defect
            As `read_source` raises; ``presentation-impossible``.

        """
        del earlier
        segments = [one for one in analysis.prediction.segments if one.voxel_count]
        if not segments or not analysis.in_patient:
            return ()
        source = read_source(analysis)
        with translated(
            "presentation-impossible", "No presentation state can be made of the mask."
        ):
            ds = _state(analysis, source, segments)
            provenance.stamp(ds, analysis, source, kind=ResultKind.PR)
            ds.Laterality = ""
            ds.PresentationCreationDate = ds.ContentDate
            ds.PresentationCreationTime = ds.ContentTime
            return (provenance.result_object(ds, ResultKind.PR),)


def _state(
    analysis: Analysis, source: Source, segments: list[SegmentFinding]
) -> GrayscaleSoftcopyPresentationState:
    layers = {
        one.definition.number: _layer(one, order) for order, one in enumerate(segments, start=1)
    }
    images = _images(source)
    modality_lut, voi_lut = _shown_as(analysis, source)
    return GrayscaleSoftcopyPresentationState(
        referenced_images=list({image.SOPInstanceUID: image for image in images}.values()),
        series_instance_uid=provenance.series_uid(analysis, ResultKind.PR),
        series_number=1,
        sop_instance_uid=provenance.result_uid(analysis, ResultKind.PR),
        instance_number=1,
        manufacturer=provenance.MANUFACTURER,
        manufacturer_model_name=provenance.MANUFACTURER,
        software_versions="1",
        device_serial_number="1",
        content_label="AI_OUTLINES",
        content_description=say("not verified", analysis.language),
        modality_lut_transformation=modality_lut,
        voi_lut_transformations=voi_lut,
        graphic_layers=list(layers.values()),
        graphic_annotations=[
            annotation
            for segment in segments
            for annotation in _annotations(
                analysis, segment, layer=layers[segment.definition.number], images=images
            )
        ],
    )


def _shown_as(
    analysis: Analysis, source: Source
) -> tuple[ModalityLUTTransformation, list[SoftcopyVOILUTTransformation]]:
    """Return rescale and window: those of the original, or as the pictures are shown.

    An enhanced original keeps them by frame, which a state can't: its stored values are shown.
    """
    header, enhanced = source.header, source.planes[0].frame_number is not None
    slope = 1.0 if enhanced else float(header.get("RescaleSlope") or 1)
    intercept = 0.0 if enhanced else float(header.get("RescaleIntercept") or 0)
    low, high = window_of(analysis, key_slices(analysis.prediction)[0])
    return (
        ModalityLUTTransformation(
            rescale_intercept=intercept,
            rescale_slope=slope,
            rescale_type="HU" if header.get("Modality") == "CT" and not enhanced else "US",
        ),
        [
            SoftcopyVOILUTTransformation(
                window_center=round((low + high) / 2, 3), window_width=round(max(high - low, 1), 3)
            )
        ],
    )


def _images(source: Source) -> list[Dataset]:
    """Return the original of each slice as highdicom refers to it."""
    header, images = source.header, []
    for plane in source.planes:
        image = Dataset()
        image.update(source.identity)
        image.SOPClassUID = plane.image.sop_class_uid
        image.SOPInstanceUID = plane.image.sop_instance_uid
        image.SeriesInstanceUID = header.SeriesInstanceUID
        image.Rows, image.Columns = header.Rows, header.Columns
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, header.PhotometricInterpretation
        if plane.frame_number is not None:
            image.NumberOfFrames = header.NumberOfFrames
            image.SharedFunctionalGroupsSequence = [Dataset()]  # highdicom looks for them
        images.append(image)
    return images


def _layer(segment: SegmentFinding, order: int) -> GraphicLayer:
    return GraphicLayer(
        layer_name=f"AI_{order}",
        order=order,
        description=segment.definition.label[:64],
        display_color=CIELabColor.from_rgb(*colour_of(segment.definition.number)),
    )


def _annotations(
    analysis: Analysis, segment: SegmentFinding, *, layer: GraphicLayer, images: list[Dataset]
) -> Iterator[GraphicAnnotation]:
    """Yield the outlines of a segment on each slice; its name stands where it is largest."""
    prediction, number = analysis.prediction, segment.definition.number
    areas = areas_of(prediction)[:, prediction.segments.index(segment)]
    for k in np.flatnonzero(areas).tolist():
        loops = outlines(prediction.label_map[k] == number)
        frames = "NumberOfFrames" in images[k]
        yield GraphicAnnotation(
            referenced_images=[images[k]],
            referenced_frame_number=analysis.slices[k].frame_number if frames else None,
            graphic_layer=layer,
            graphic_objects=[
                GraphicObject(graphic_type="POLYLINE", graphic_data=loop, units="PIXEL")
                for loop in loops
            ],
            text_objects=[_name(analysis, segment, loops[0])] if k == areas.argmax() else None,
        )


def _name(analysis: Analysis, segment: SegmentFinding, loop: NDArray[np.float32]) -> TextObject:
    lines = finding_lines(analysis.prediction, analysis.language)
    number = segment.definition.number
    text = next(line.text for line in lines if line.segment == number)
    column, row = loop.max(axis=0)
    return TextObject(
        text_value=f"{text} ({say('not verified', analysis.language)})",
        units="PIXEL",
        anchor_point=(float(column), float(row)),
        anchor_point_visible=False,
    )
