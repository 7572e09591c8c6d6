"""Write the segments of a prediction as a BINARY Segmentation (PS3.3 A.51)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom.uid import UID, ExplicitVRLittleEndian
from scipy.ndimage import find_objects

from clic_edge.dicom.reading import translated
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.results.frames import NATIVE, Place
from clic_edge.results.segmentation import (
    Frames,
    coded,
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

__all__ = ["SegWriter", "coded", "written_segments"]


def written_segments(analysis: Analysis) -> tuple[SegmentFinding, ...]:
    """Return the findings that have voxels, in the order of their Segment Number (from 1).

    None of a slide: its tiles are no pixels of it, and have a map and annotations of their own.
    """
    if analysis.prediction.geometry.on_slide:
        return ()
    return tuple(one for one in analysis.prediction.segments if one.voxel_count)


class SegWriter:
    """Writes a BINARY Segmentation on the planes of the original, empty frames omitted."""

    def __init__(self, transfer_syntax: UID = ExplicitVRLittleEndian) -> None:
        self._transfer_syntax = require_syntax(transfer_syntax, NATIVE)

    def write(
        self, analysis: Analysis, earlier: tuple[ResultObject, ...]
    ) -> tuple[ResultObject, ...]:
        """Return the segmentation, or nothing when no segment has a voxel.

        Every declared segment that has voxels is in it, numbered from 1; one without is told in
        the SR alone, since a segmentation needs a frame. Its frames follow one another segment
        by segment, and within one in the order of the slices.

        Raises
        ------
        Defect
            As `read_source` raises; ``mask-off-grid`` or ``mixed-planes``: mask and images
            aren't one regular grid; ``seg-impossible``: the standard forbids what was asked.

        """
        del earlier  # a segmentation refers to the originals only
        segments = written_segments(analysis)
        if not segments:
            return ()
        source = read_source(analysis)
        require_one_grid(analysis, source)
        with translated("seg-impossible", "A segmentation can't be made of images and mask."):
            ds = header_of(analysis, source, ResultKind.SEG)
            ds.SegmentationType, ds.SegmentsOverlap = "BINARY", "NO"
            set_bits(ds, 1)
            ds.SegmentSequence = descriptions(analysis, segments)
            return (
                segmentation_object(
                    ds,
                    source,
                    _frames(analysis.prediction.label_map, segments),
                    kind=ResultKind.SEG,
                    transfer_syntax=self._transfer_syntax,
                ),
            )


def _frames(label_map: NDArray[np.uint8], segments: tuple[SegmentFinding, ...]) -> Frames:
    labels = [one.definition.number for one in segments]
    slices = _slices(label_map)
    places = tuple(
        Place(segment_number=number, slice_index=k)
        for number, label in enumerate(labels, start=1)
        for k in slices[label]
    )
    return Frames(
        places=places,
        pixels=(label_map[k] == labels[number - 1] for number, k in places),
    )


def _slices(label_map: NDArray[np.uint8]) -> dict[int, list[int]]:
    """Return on which slices each label has voxels, looked for in its bounding box alone."""
    shadow = label_map.max(axis=0)
    rows, columns = np.flatnonzero(shadow.any(axis=1)), np.flatnonzero(shadow.any(axis=0))
    body = label_map[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return {
        label: [k for k in range(*box[0].indices(len(body))) if (body[k][box[1:]] == label).any()]
        for label, box in enumerate(find_objects(body), start=1)
        if box is not None
    }
