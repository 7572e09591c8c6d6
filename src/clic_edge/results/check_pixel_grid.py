"""Compare a segmentation of a single image, as DCMTK shows it, with the mask pixel for pixel.

There is no patient millimetre to compare: place is the image's own pixel grid. That each frame
refers to the image and to a segment, `check_seg` has seen before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results import provenance
from clic_edge.results.check_seg import SEGMENT, group_of
from clic_edge.results.dcmqi import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.prediction import Prediction
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis

WHITE = 255
HALF_STEP = 0.5 + 1e-3
"""Fractions are rounded to whole steps; probabilities have seven digits."""


def check_pixel_grid(ds: Dataset, result: ResultObject, analysis: Analysis) -> None:
    """Return when DCMTK shows each segment on the pixels where the model put it.

    `ds` is the result, read.

    Raises
    ------
    Defect
        ``geometry-unproved``: DCMTK can't read it; ``seg-differs``: a pixel is another.
    Transient, ConfigError
        As `reread` raises.

    """
    own = {
        provenance.tracking_uid(analysis, one.definition): one.definition.number
        for one in analysis.prediction.segments
    }
    labels = {int(one.SegmentNumber): own[str(one.TrackingUID)] for one in ds.SegmentSequence}
    shared = ds.SharedFunctionalGroupsSequence[0]
    largest = WHITE if result.kind is ResultKind.SEG_FRACTIONAL else 1
    for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence, start=1):
        segment = int(group_of(frame, shared, SEGMENT).ReferencedSegmentNumber)
        expected = _expected(analysis.prediction, labels[segment], result.kind)
        pixels = shown(result.content, number, largest=largest).astype(np.float64)
        if pixels.shape != expected.shape or np.abs(pixels - expected).max() > HALF_STEP:
            raise Defect("seg-differs", "DCMTK shows other pixels than the model found.")


def _expected(prediction: Prediction, label: int, kind: ResultKind) -> NDArray[np.float64]:
    """Return what is white where the segment is, or as bright as it is probable."""
    shares: NDArray[np.generic] = prediction.label_map[0] == label
    if kind is ResultKind.SEG_FRACTIONAL:
        (shares,) = (one.values[0] for one in prediction.maps if one.segment == label)
    white: NDArray[np.float64] = shares.astype(np.float64) * WHITE
    return white
