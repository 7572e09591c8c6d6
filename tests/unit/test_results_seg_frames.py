from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from analyses import analysis_of
from factories import Stack, make_series
from plain_highdicom import plain_highdicom

from clic_edge.results.seg import SegWriter


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(8, 16, 16), (8, 10, 12), (5, 7, 9), (1, 3, 5)])
@pytest.mark.parametrize("labels", [2, 4])
def test_frames_are_those_of_highdicom_bit_for_bit(
    shape: tuple[int, int, int], labels: int
) -> None:
    mask = np.random.default_rng(1).integers(0, labels, shape, np.uint8)
    mask[shape[0] // 2] = 0
    mask[-1] = labels - 1
    series = make_series(Stack(), np.zeros(shape, np.int16))
    analysis = analysis_of(series, mask=mask, descending=True)  # as highdicom sorts planes
    (result,) = SegWriter().write(analysis, ())
    ours, theirs = pydicom.dcmread(io.BytesIO(result.content)), plain_highdicom(analysis)
    size = -(-ours.NumberOfFrames * ours.Rows * ours.Columns // 8)  # without padding
    assert ours.PixelData[:size] == theirs.PixelData[:size]
    for own, their in zip(
        ours.PerFrameFunctionalGroupsSequence, theirs.PerFrameFunctionalGroupsSequence, strict=True
    ):
        if len(ours.SegmentSequence) == 1:  # highdicom shares what all frames have
            del own.SegmentIdentificationSequence
        assert own == their
