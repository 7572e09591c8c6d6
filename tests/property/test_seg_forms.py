"""Every form and encoding of a segmentation is proved, and every voxel of it counts."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from analyses import analysis_of
from factories import Stack, make_datasets, make_series, series_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from written import probability_map, with_everything

from clic_edge.domain.result import ResultKind
from clic_edge.errors import Defect
from clic_edge.results.check import check
from clic_edge.results.check_geometry import check_geometry
from clic_edge.results.seg import SegWriter
from clic_edge.results.seg_fractional import SegFractionalWriter
from clic_edge.results.seg_labelmap import SegLabelmapWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.uid import UID

    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis, Writer

FORMS = [
    SegWriter(ExplicitVRLittleEndian),
    SegWriter(DeflatedExplicitVRLittleEndian),
    *(
        writer(syntax)
        for writer in (SegFractionalWriter, SegLabelmapWriter)
        for syntax in (
            ExplicitVRLittleEndian,
            DeflatedExplicitVRLittleEndian,
            RLELossless,
            JPEGLSLossless,
            JPEG2000Lossless,
        )
    ),
]
SHAPE = (6, 33, 35)
"""JPEG 2000 encoders want 32 pixels; and so that no frame fills whole bytes of bits."""


def form(writer: Writer) -> str:
    syntax: UID = writer._transfer_syntax  # type: ignore[attr-defined] # every form has one
    return f"{type(writer).__name__}-{syntax.keyword}"


def written(writer: Writer, analysis: Analysis) -> ResultObject:
    (result,) = writer.write(analysis, ())
    check((result,), analysis)
    return result


def prove(result: ResultObject, analysis: Analysis) -> None:
    check_geometry(pydicom.dcmread(io.BytesIO(result.content)), result, analysis)


def leaning_stack(stack: Stack, per_mm: float) -> Analysis:
    datasets = make_datasets(stack, np.zeros(SHAPE, np.int16))
    column = np.array(stack.orientation[3:])
    for k, ds in enumerate(datasets):
        position = stack.position(k) + k * stack.slice_step * per_mm * column
        ds.ImagePositionPatient = [round(float(x), 6) for x in position]
    return with_everything(analysis_of(series_of(datasets)))


@pytest.mark.slow
@pytest.mark.parametrize("writer", FORMS, ids=form)
@settings(deadline=None, max_examples=4)
@given(
    per_mm=st.sampled_from([0.0, 0.0, 0.3, -0.3]),
    step=st.floats(0.5, 6),
    spacing=st.tuples(*[st.floats(0.3, 3)] * 2),
)
def test_every_form_is_found_where_the_model_put_it(
    writer: Writer, per_mm: float, step: float, spacing: tuple[float, float]
) -> None:
    stack = Stack(
        orientation=(0.8, 0.6, 0.0, -0.36, 0.48, 0.8),
        slice_step=round(step, 3),
        pixel_spacing=(round(spacing[0], 3), round(spacing[1], 3)),
    )
    analysis = leaning_stack(stack, per_mm)
    prove(written(writer, analysis), analysis)


def changed_voxel(analysis: Analysis) -> Analysis:
    """Return the analysis with one voxel of one segment, and of its probability, elsewhere."""
    prediction = analysis.prediction
    mask, k = prediction.label_map.copy(), 0
    row, column = np.argwhere(mask[k] == 1)[0]
    mask[k, row, column], mask[k, 0, 0] = 0, 1
    maps = tuple(
        probability_map(one.name, moved(one.values, (k, row, column)), one.segment)
        for one in prediction.maps
    )
    return replace(analysis, prediction=replace(prediction, label_map=mask, maps=maps))


def moved(values: NDArray[np.float32], place: tuple[int, int, int]) -> NDArray[np.float32]:
    values = values.copy()
    values[place], values[0, 0, 0] = values[0, 0, 0], values[place]
    return values


@pytest.mark.slow
@pytest.mark.parametrize("writer", FORMS, ids=form)
def test_one_voxel_elsewhere_is_found_in_every_form(writer: Writer) -> None:
    analysis = with_everything(analysis_of(make_series(voxels=np.zeros(SHAPE, np.int16))))
    result = written(writer, analysis)
    with pytest.raises(Defect, match="seg-differs"):
        prove(result, changed_voxel(analysis))


@pytest.mark.slow
@pytest.mark.parametrize("writer", FORMS, ids=form)
def test_a_segment_under_the_name_of_another_is_found_in_every_form(writer: Writer) -> None:
    analysis = with_everything(analysis_of(make_series(voxels=np.zeros(SHAPE, np.int16))))
    result = written(writer, analysis)
    first, second, third = analysis.prediction.segments
    segments = (
        replace(first, definition=replace(first.definition, name=second.definition.name)),
        replace(second, definition=replace(second.definition, name=first.definition.name)),
        third,
    )
    other = replace(analysis, prediction=replace(analysis.prediction, segments=segments))
    with pytest.raises(Defect, match="seg-differs"):
        prove(result, other)


def test_a_probability_that_is_off_by_a_step_of_the_fractions_is_found() -> None:
    analysis = with_everything(analysis_of(make_series(voxels=np.zeros(SHAPE, np.int16))))
    result = written(SegFractionalWriter(), analysis)
    assert result.kind is ResultKind.SEG_FRACTIONAL
    first, *others = analysis.prediction.maps
    off = probability_map(first.name, first.values + np.float32(1.01 / 255), first.segment)
    prediction = replace(analysis.prediction, maps=(off, *others))
    with pytest.raises(Defect, match="seg-differs"):
        prove(result, replace(analysis, prediction=prediction))
