"""FRACTIONAL and LABELMAP say what BINARY says, and what was changed in them does not pass."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import highdicom
import numpy as np
import pydicom
import pytest
from analyses import SEGMENTS, analysis_of

from clic_edge.domain.prediction import Code, ParametricMap
from clic_edge.errors import Defect
from clic_edge.results.check_seg import check_segmentation
from clic_edge.results.seg import SegWriter
from clic_edge.results.seg_fractional import SegFractionalWriter
from clic_edge.results.seg_labelmap import SegLabelmapWriter
from clic_edge.results.source import read_source

if TYPE_CHECKING:
    from clic_edge.results.writer import Analysis, Writer

WRITERS: dict[str, Writer] = {
    "BINARY": SegWriter(),
    "FRACTIONAL": SegFractionalWriter(),
    "LABELMAP": SegLabelmapWriter(),
}


@pytest.fixture
def analysis() -> Analysis:
    """Return an analysis whose probabilities are a ramp within each segment."""
    plain = analysis_of()
    label_map = plain.prediction.label_map
    ramp = np.linspace(0.2, 1, label_map.size, dtype=np.float32).reshape(label_map.shape)
    maps = []
    for segment in SEGMENTS:
        values = np.where(label_map == segment.number, ramp, np.float32(0))
        values.flags.writeable = False
        maps.append(
            ParametricMap(
                name=segment.name,
                label=segment.label,
                quantity=Code(value="122157", scheme="DCM", meaning="Probability"),
                unit=Code(value="1", scheme="UCUM", meaning="no units"),
                values=values,
                segment=segment.number,
            )
        )
    return replace(plain, prediction=replace(plain.prediction, maps=tuple(maps)))


def written(analysis: Analysis, form: str) -> pydicom.Dataset:
    (result,) = WRITERS[form].write(analysis, ())
    return pydicom.dcmread(io.BytesIO(result.content))


@pytest.mark.parametrize("form", WRITERS)
def test_each_form_passes_its_check_and_says_what_it_is(analysis: Analysis, form: str) -> None:
    ds = written(analysis, form)
    assert ds.SegmentationType == form
    check_segmentation(ds, analysis, read_source(analysis))


def test_a_label_map_is_read_back_by_highdicom_as_the_mask(analysis: Analysis) -> None:
    (result,) = WRITERS["LABELMAP"].write(analysis, ())
    seg = highdicom.seg.segread(io.BytesIO(result.content))
    uids = [one.sop_instance_uid for one in read_source(analysis).images]
    pixels = seg.get_pixels_by_source_instance(uids, combine_segments=True)
    np.testing.assert_array_equal(pixels, analysis.prediction.label_map)


def test_fractions_are_the_probabilities_in_steps_of_a_255th(analysis: Analysis) -> None:
    (result,) = WRITERS["FRACTIONAL"].write(analysis, ())
    seg = highdicom.seg.segread(io.BytesIO(result.content))
    uids = [one.sop_instance_uid for one in read_source(analysis).images]
    pixels = seg.get_pixels_by_source_instance(uids, rescale_fractional=True)
    for index, one in enumerate(analysis.prediction.maps):
        assert np.abs(pixels[..., index] - one.values).max() <= 0.5 / 255 + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("form", WRITERS)
def test_one_changed_pixel_does_not_pass(analysis: Analysis, form: str) -> None:
    ds = written(analysis, form)
    content = bytearray(ds.PixelData)
    content[len(content) // 2] ^= 1
    ds.PixelData = bytes(content)
    with pytest.raises(Defect) as caught:
        check_segmentation(ds, analysis, read_source(analysis))
    assert caught.value.code == "seg-differs"


@pytest.mark.parametrize("form", WRITERS)
def test_a_frame_that_is_left_out_does_not_pass(analysis: Analysis, form: str) -> None:
    ds = written(analysis, form)
    left_out = 2  # in every form a whole number of bytes here
    ds.NumberOfFrames -= left_out
    del ds.PerFrameFunctionalGroupsSequence[-left_out:]
    bits = ds.Rows * ds.Columns * ds.BitsAllocated * ds.NumberOfFrames
    ds.PixelData = ds.PixelData[: -(-bits // 16) * 2]
    with pytest.raises(Defect) as caught:
        check_segmentation(ds, analysis, read_source(analysis))
    assert caught.value.code == "seg-differs"


def test_without_probabilities_nothing_fractional_is_written() -> None:
    assert WRITERS["FRACTIONAL"].write(analysis_of(), ()) == ()
