"""A segment has one colour, whatever a viewer can show of it."""

from __future__ import annotations

import io

import pydicom
import pytest
from analyses import analysis_of
from highdicom.color import CIELabColor
from written import with_everything, write_all

from clic_edge.domain.result import ResultKind
from clic_edge.results.colours import colour_of

SEGMENTATIONS = (ResultKind.SEG, ResultKind.SEG_FRACTIONAL, ResultKind.SEG_LABELMAP)


@pytest.mark.slow
def test_a_segmentation_recommends_the_colours_of_the_pictures() -> None:
    results = write_all(with_everything(analysis_of()))
    shown = [one for one in results if one.kind in SEGMENTATIONS]
    assert {one.kind for one in shown} == set(SEGMENTATIONS)
    for one in shown:
        segments = pydicom.dcmread(io.BytesIO(one.content)).SegmentSequence
        colours = [
            CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue).to_rgb()
            for segment in segments
            if segment.SegmentLabel != "Background"
        ]
        assert colours == [pytest.approx(colour_of(number), abs=1) for number in (1, 2, 3)], one
