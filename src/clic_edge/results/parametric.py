"""Write maps of numbers, such as heat maps, as Parametric Maps (PS3.3 A.75), 32-bit floats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from highdicom.content import (
    PixelMeasuresSequence,
    PlaneOrientationSequence,
    PlanePositionSequence,
)
from highdicom.pm import ParametricMap as DicomMap
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind
from clic_edge.results import provenance
from clic_edge.results.parametric_meaning import meaning_of_map
from clic_edge.results.segmentation import require_one_grid
from clic_edge.results.slide_map import slide_map
from clic_edge.results.source import read_source

if TYPE_CHECKING:
    from clic_edge.domain.prediction import ParametricMap
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.source import Source
    from clic_edge.results.writer import Analysis


class ParametricMapWriter:
    """Writes one object for each map that isn't the probability of a segment."""

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the maps on the planes of the originals, their numbers bit for bit.

        Nothing of a single image, which has no plane; its heat maps are in the pictures.

        Raises
        ------
        Defect
            As `read_source` raises; ``mask-off-grid``, ``mixed-planes``; ``map-impossible``.

        """
        del earlier
        maps = [one for one in analysis.prediction.maps if one.segment is None]
        if not maps or analysis.image:
            return ()
        source = read_source(analysis)
        if analysis.prediction.geometry.on_slide:
            with translated("map-impossible", "A parametric map can't be made of the slide."):
                return tuple(slide_map(analysis, source, one) for one in maps)
        require_one_grid(analysis, source)
        with translated("map-impossible", "A parametric map can't be made of images and numbers."):
            return tuple(_object(analysis, source, one) for one in maps)


def _object(analysis: Analysis, source: Source, one: ParametricMap) -> ResultObject:
    kind = ResultKind.PM
    spacing = analysis.prediction.geometry.spacing_mm[0]
    plane, (mapping, window) = source.planes[0], meaning_of_map(one)
    ds = DicomMap(
        source_images=[_stand_in(source)],
        pixel_array=one.values.astype(np.float32),
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
            pixel_spacing=plane.pixel_spacing,
            slice_thickness=plane.thickness_mm or spacing,
            spacing_between_slices=spacing,
        ),
        plane_orientation=PlaneOrientationSequence("PATIENT", plane.orientation),
        plane_positions=[
            PlanePositionSequence("PATIENT", where.position) for where in source.planes
        ],
    )
    organisation = provenance.result_uid(analysis, kind, one.name, "dimensions")
    for item in (*ds.DimensionIndexSequence, *ds.DimensionOrganizationSequence):
        item.DimensionOrganizationUID = organisation
    _refer(ds, source)
    ds.Laterality = ""
    provenance.stamp(ds, analysis, source, kind=kind)
    ds.SOPInstanceUID = provenance.map_uid(analysis, one)
    return provenance.result_object(ds, kind)


def _stand_in(source: Source) -> Dataset:
    """Return what highdicom needs to know of an original, as a plain image."""
    image, header = Dataset(), source.header
    image.update(source.identity)
    image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, source.images[0].sop_instance_uid
    image.SeriesInstanceUID = header.SeriesInstanceUID
    image.FrameOfReferenceUID = header.FrameOfReferenceUID
    image.Modality, image.Rows, image.Columns = header.Modality, header.Rows, header.Columns
    image.PositionReferenceIndicator = header.get("PositionReferenceIndicator", "")
    plane = source.planes[0]
    image.ImagePositionPatient = list(plane.position)
    image.ImageOrientationPatient = list(plane.orientation)
    image.PixelSpacing = list(plane.pixel_spacing)
    image.SliceThickness = plane.thickness_mm or 1.0
    return image


def _refer(ds: Dataset, source: Source) -> None:
    """Name every original where the stand-in was named."""
    images = []
    for image in source.images:
        item = Dataset()
        item.ReferencedSOPClassUID = image.sop_class_uid
        item.ReferencedSOPInstanceUID = image.sop_instance_uid
        images.append(item)
    if "SourceImageSequence" in ds:
        ds.SourceImageSequence = images
    for series in ds.get("ReferencedSeriesSequence", []):
        series.ReferencedInstanceSequence = images
    for frame in ds.PerFrameFunctionalGroupsSequence:
        if "DerivationImageSequence" in frame:
            del frame.DerivationImageSequence
