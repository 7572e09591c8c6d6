"""Write the segments of a prediction as one Label Map Segmentation (PS3.3 C.8.20.2, LABELMAP)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.results.frames import ENCAPSULATED, NATIVE, Place
from clic_edge.results.seg import written_segments
from clic_edge.results.segmentation import (
    Frames,
    descriptions,
    header_of,
    require_one_grid,
    require_syntax,
    segmentation_object,
    set_bits,
)
from clic_edge.results.source import read_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.prediction import SegmentFinding
    from clic_edge.results.writer import Analysis

LABEL_MAP_SEGMENTATION_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
BACKGROUND = 0
"""Segment Number and pixel value of what belongs to no segment."""


class SegLabelmapWriter:
    """Writes one frame for each slice that has a segment: each pixel is a Segment Number."""

    def __init__(self, transfer_syntax: UID = ExplicitVRLittleEndian) -> None:
        self._transfer_syntax = require_syntax(transfer_syntax, (*NATIVE, *ENCAPSULATED))

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the segmentation, or nothing when no segment has a voxel.

        Nothing of a single image either: its frames have no plane to be indexed by.

        Segments have the numbers that they have in the BINARY form; pixels have 8 bits, or 16
        where there are more than 255 segments.

        Raises
        ------
        Defect
            As `SegWriter.write` raises.

        """
        del earlier  # a segmentation refers to the originals only
        segments = written_segments(analysis)
        if not segments or analysis.image:
            return ()
        source = read_source(analysis)
        require_one_grid(analysis, source)
        with translated("seg-impossible", "A segmentation can't be made of images and mask."):
            ds = header_of(analysis, source, ResultKind.SEG_LABELMAP)
            ds.SOPClassUID = LABEL_MAP_SEGMENTATION_STORAGE
            ds.SegmentationType, ds.SegmentsOverlap = "LABELMAP", "NO"
            ds.SegmentSequence = [_background(), *descriptions(analysis, segments)]
            numbers = _numbers(segments)
            set_bits(ds, 8 * numbers.itemsize)
            ds.PixelPaddingValue = BACKGROUND
            return (
                segmentation_object(
                    ds,
                    source,
                    _frames(analysis.prediction.label_map, numbers),
                    kind=ResultKind.SEG_LABELMAP,
                    transfer_syntax=self._transfer_syntax,
                ),
            )


def _background() -> Dataset:
    """Return the description of the pixels without a segment: every value has one (C.8.20.2.3)."""
    item = Dataset()
    item.SegmentNumber, item.SegmentLabel = BACKGROUND, "Background"
    item.SegmentedPropertyCategoryCodeSequence = [CodedConcept.from_code(codes.DCM.Background)]
    item.SegmentedPropertyTypeCodeSequence = [CodedConcept.from_code(codes.DCM.Background)]
    item.SegmentAlgorithmType, item.SegmentAlgorithmName = "AUTOMATIC", "None"
    return item


def _numbers(segments: tuple[SegmentFinding, ...]) -> NDArray[np.unsignedinteger]:
    """Return the Segment Number of each value of the label map."""
    labels = [one.definition.number for one in segments]
    numbers = np.full(max(labels) + 1, BACKGROUND, np.min_scalar_type(len(labels)))
    numbers[labels] = range(1, len(labels) + 1)
    return numbers


def _frames(label_map: NDArray[np.uint8], numbers: NDArray[np.unsignedinteger]) -> Frames:
    used = np.flatnonzero(label_map.any(axis=(1, 2))).tolist()
    return Frames(
        places=tuple(Place(segment_number=0, slice_index=k) for k in used),
        pixels=(numbers.take(label_map[k]) for k in used),
    )
