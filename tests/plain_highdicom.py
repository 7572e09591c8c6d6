"""The same segmentation made by highdicom alone: what ours is compared with."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import highdicom
import numpy as np
import pydicom
from pydicom.sr.codedict import codes

from clic_edge.results.seg import coded, written_segments

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.results.writer import Analysis


def plain_highdicom(analysis: Analysis, segmentation_type: str = "BINARY") -> Dataset:
    """Return highdicom's object of the label map, written and read again."""
    buffer = io.BytesIO()
    written_by_highdicom(analysis, segmentation_type).save_as(buffer)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue()))


def written_by_highdicom(analysis: Analysis, segmentation_type: str) -> Dataset:
    """Return highdicom's object of the label map."""
    segments = written_segments(analysis)
    instances = analysis.series.instances
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="plain", family=codes.DCM.ArtificialIntelligence, version="1"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return highdicom.seg.Segmentation(
            source_images=[
                pydicom.dcmread(
                    io.BytesIO(instances[one.instance_index].content), stop_before_pixels=True
                )
                for one in analysis.slices
            ],
            pixel_array=_renumbered(analysis),
            segmentation_type=segmentation_type,
            segment_descriptions=[
                highdicom.seg.SegmentDescription(
                    segment_number=number,
                    segment_label=one.definition.label,
                    segmented_property_category=coded(one.definition.category),
                    segmented_property_type=coded(one.definition.property_type),
                    algorithm_type="AUTOMATIC",
                    algorithm_identification=algorithm,
                )
                for number, one in enumerate(segments, start=1)
            ],
            series_instance_uid=highdicom.UID(),
            series_number=100,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="peer",
            manufacturer_model_name="peer",
            software_versions="1",
            device_serial_number="1",
        )


def _renumbered(analysis: Analysis) -> NDArray[np.uint8]:
    numbers = np.zeros(256, np.uint8)
    for number, one in enumerate(written_segments(analysis), start=1):
        numbers[one.definition.number] = number
    return numbers[analysis.prediction.label_map]
