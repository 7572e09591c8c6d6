"""Write the scores of a slide's tiles as Parametric Maps (PS3.3 A.75) in the slide's coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from highdicom.content import (
    PixelMeasuresSequence,
    PlaneOrientationSequence,
    PlanePositionSequence,
)
from highdicom.pm import ParametricMap as DicomMap

from clic_edge.domain.result import ResultKind
from clic_edge.results import provenance
from clic_edge.results.parametric_meaning import meaning_of_map
from clic_edge.results.slide_source import padding, stand_in

if TYPE_CHECKING:
    from clic_edge.domain.prediction import ParametricMap
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis


def slide_map(analysis: Analysis, source: Source, one: ParametricMap) -> ResultObject:
    """Return one map: a pixel is a tile, and lies where the tile's centre lies."""
    geometry, kind = analysis.prediction.geometry, ResultKind.PM
    down, across = (geometry.affine[:3, axis] for axis in (1, 2))
    mapping, window = meaning_of_map(one)
    nothing = padding(one)
    ds = DicomMap(
        source_images=[stand_in(source)],
        pixel_array=np.where(analysis.prediction.label_map > 0, one.values, nothing),
        series_instance_uid=provenance.series_uid(analysis, kind),
        series_number=1,
        sop_instance_uid=provenance.map_uid(analysis, one),
        instance_number=1,
        manufacturer=provenance.MANUFACTURER,
        manufacturer_model_name=provenance.MANUFACTURER,
        software_versions="1",
        device_serial_number="1",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        content_label="AI_MAP",
        content_description=one.label[:64],
        pixel_measures=PixelMeasuresSequence(
            pixel_spacing=geometry.spacing_mm[1:], slice_thickness=1e-3
        ),
        plane_orientation=PlaneOrientationSequence(
            "SLIDE",
            (*(across / np.linalg.norm(across)), *(down / np.linalg.norm(down))),
        ),
        plane_positions=[PlanePositionSequence("SLIDE", geometry.affine[:3, 3].tolist(), (1, 1))],
    )
    ds.FloatPixelPaddingValue = ds.FloatPixelPaddingRangeLimit = float(nothing)
    organisation = provenance.result_uid(analysis, kind, one.name, "dimensions")
    for item in (*ds.DimensionIndexSequence, *ds.DimensionOrganizationSequence):
        item.DimensionOrganizationUID = organisation
    provenance.stamp(ds, analysis, source, kind=kind)
    ds.SOPInstanceUID = provenance.map_uid(analysis, one)
    return provenance.result_object(ds, kind)
