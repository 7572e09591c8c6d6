"""Write the marked tiles of a slide as Microscopy Bulk Simple Annotations (PS3.3 A.87)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from highdicom.ann import AnnotationGroup, Measurements, MicroscopyBulkSimpleAnnotations
from highdicom.content import AlgorithmIdentificationSequence
from pydicom.sr.codedict import codes

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind
from clic_edge.results import provenance
from clic_edge.results.segmentation import coded
from clic_edge.results.slide_source import MARKED, corners_mm, marked_tiles, stand_in
from clic_edge.results.source import read_source

if TYPE_CHECKING:
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis


class AnnotationWriter:
    """Writes one object for each slide on which tiles are marked."""

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the outline of each marked tile in slide millimetres, with its scores.

        Nothing where no tile is marked, and of what is no slide.

        Raises
        ------
        Defect
            As `read_source` raises; ``annotations-impossible``.

        """
        del earlier
        prediction = analysis.prediction
        if not prediction.geometry.on_slide or not len(marked_tiles(prediction)):
            return ()
        source = read_source(analysis)
        with translated("annotations-impossible", "Tiles can't be drawn on the slide."):
            return (_object(analysis, source),)


def _object(analysis: Analysis, source: Source) -> ResultObject:
    kind = ResultKind.ANN
    ds = MicroscopyBulkSimpleAnnotations(
        source_images=[stand_in(source)],
        annotation_coordinate_type="3D",
        annotation_groups=[_group(analysis)],
        series_instance_uid=provenance.series_uid(analysis, kind),
        series_number=1,
        sop_instance_uid=provenance.result_uid(analysis, kind),
        instance_number=1,
        manufacturer=provenance.MANUFACTURER,
        manufacturer_model_name=provenance.MANUFACTURER,
        software_versions="1",
        device_serial_number="1",
        content_label="AI_TILES",
        content_description="Tiles that an algorithm marked",
    )
    provenance.stamp(ds, analysis, source, kind=kind)
    return provenance.result_object(ds, kind)


def _group(analysis: Analysis) -> AnnotationGroup:
    prediction, model = analysis.prediction, analysis.model
    tiles = marked_tiles(prediction)
    (finding,) = (one for one in prediction.segments if one.definition.number == MARKED)
    segment = finding.definition
    return AnnotationGroup(
        number=1,
        uid=provenance.tracking_uid(analysis, segment),
        label=segment.label[:64],
        annotated_property_category=coded(segment.category),
        annotated_property_type=coded(segment.property_type),
        graphic_type="POLYGON",
        graphic_data=[one.astype(np.float64) for one in corners_mm(prediction.geometry, tiles)],
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=model.title[:64],
            version=model.version,
            family=codes.DCM.ArtificialIntelligence,
            source=model.manufacturer[:64],
        ),
        measurements=[
            Measurements(
                name=coded(one.quantity),
                values=one.values[0][tiles[:, 0], tiles[:, 1]].astype(np.float32),
                unit=coded(one.unit),
            )
            for one in prediction.maps
        ],
    )
