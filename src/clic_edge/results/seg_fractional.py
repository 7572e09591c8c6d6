"""Write the probabilities of a prediction as a FRACTIONAL Segmentation (PS3.3 A.51)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom.uid import UID, ExplicitVRLittleEndian

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.errors import Defect
from clic_edge.results.frames import ENCAPSULATED, NATIVE, Place
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

CERTAIN = 255
"""Maximum Fractional Value (0062,000E): a probability of 1."""


def fractional_segments(analysis: Analysis) -> tuple[SegmentFinding, ...]:
    """Return the findings with a probability somewhere, in the order of their number (from 1)."""
    possible = {one.segment for one in analysis.prediction.maps if _fractions(one.values.max()) > 0}
    return tuple(one for one in analysis.prediction.segments if one.definition.number in possible)


class SegFractionalWriter:
    """Writes a FRACTIONAL Segmentation: probabilities in steps of 1/255, empty frames omitted."""

    def __init__(self, transfer_syntax: UID = ExplicitVRLittleEndian) -> None:
        self._transfer_syntax = require_syntax(transfer_syntax, (*NATIVE, *ENCAPSULATED))

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the segmentation, or nothing when no segment has a probability anywhere.

        Raises
        ------
        Defect
            As `SegWriter.write` raises; ``not-a-probability``: a map leaves 0 to 1.

        """
        del earlier  # a segmentation refers to the originals only
        _require_probabilities(analysis)
        segments = fractional_segments(analysis)
        if not segments:
            return ()
        source = read_source(analysis)
        require_one_grid(analysis, source)
        with translated("seg-impossible", "A segmentation can't be made of images and maps."):
            ds = header_of(analysis, source, ResultKind.SEG_FRACTIONAL)
            ds.SegmentationType, ds.SegmentsOverlap = "FRACTIONAL", "UNDEFINED"
            ds.SegmentationFractionalType, ds.MaximumFractionalValue = "PROBABILITY", CERTAIN
            set_bits(ds, 8)
            ds.SegmentSequence = descriptions(analysis, segments)
            return (
                segmentation_object(
                    ds,
                    source,
                    _frames(analysis, segments),
                    kind=ResultKind.SEG_FRACTIONAL,
                    transfer_syntax=self._transfer_syntax,
                ),
            )


def _require_probabilities(analysis: Analysis) -> None:
    maps = [one.values for one in analysis.prediction.maps if one.segment is not None]
    if any(values.min() < 0 or values.max() > 1 for values in maps):
        raise Defect("not-a-probability", "A segment's probability map leaves 0 to 1.")


def _frames(analysis: Analysis, segments: tuple[SegmentFinding, ...]) -> Frames:
    by_segment = {one.segment: one.values for one in analysis.prediction.maps}
    maps = [by_segment[one.definition.number] for one in segments]
    places = tuple(
        Place(segment_number=number, slice_index=k)
        for number, values in enumerate(maps, start=1)
        for k in np.flatnonzero(_fractions(values.max(axis=(1, 2)))).tolist()
    )
    return Frames(places=places, pixels=(_fractions(maps[number - 1][k]) for number, k in places))


def _fractions(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return probabilities as they are written; the greatest of many is that of their greatest."""
    return np.asarray(np.rint(values * np.float32(CERTAIN)), np.uint8)
