from __future__ import annotations

import io
from dataclasses import replace
from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from analyses import analysis_of
from factories import Stack, make_datasets, series_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from clic_edge.errors import Defect
from clic_edge.results.check import check
from clic_edge.results.seg import SegWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clic_edge.domain.prediction import SegmentFinding
    from clic_edge.domain.result import ResultObject
    from clic_edge.results.writer import Analysis

TOLERANCE_MM = 0.01
SHAPE = (5, 7, 9)
AXES = [(sign * np.eye(3)[i]) for i, sign in product(range(3), (1, -1))]
AXIS_COSINES = [(*row, *column) for row, column in permutations(AXES, 2) if abs(row @ column) < 0.5]


def written_points(result: ResultObject, number: int) -> NDArray[np.float64]:
    """Return where each voxel of a segment lies, as PS3.3 C.7.6.2.1.1 tells a viewer."""
    ds = pydicom.dcmread(io.BytesIO(result.content))
    shared = ds.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
    pixels = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    points = []
    for frame, plane in zip(ds.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number:
            position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
            rows, columns = np.nonzero(plane)
            points.append(
                position
                + np.outer(columns * spacing[1], cosines[:3])
                + np.outer(rows * spacing[0], cosines[3:])
            )
    return np.concatenate(points)


def mask_points(analysis: Analysis, finding: SegmentFinding) -> NDArray[np.float64]:
    """Return where each voxel of a segment lay for the model."""
    mask = analysis.prediction.label_map == finding.definition.number
    indices = np.column_stack([*np.nonzero(mask), np.ones(mask.sum())])
    points: NDArray[np.float64] = (indices @ analysis.prediction.geometry.affine.T)[:, :3]
    return points


def assert_in_place(analysis: Analysis) -> None:
    (result,) = SegWriter().write(analysis, ())
    check((result,), analysis)
    for number, finding in enumerate(analysis.prediction.segments, start=1):
        found, expected = written_points(result, number), mask_points(analysis, finding)
        assert len(found) == len(expected) == finding.voxel_count
        assert np.abs(found.mean(axis=0) - expected.mean(axis=0)).max() < TOLERANCE_MM
        assert np.abs(found.min(axis=0) - expected.min(axis=0)).max() < TOLERANCE_MM
        assert np.abs(found.max(axis=0) - expected.max(axis=0)).max() < TOLERANCE_MM
        assert cKDTree(expected).query(found)[0].max() < TOLERANCE_MM


def analysis_in(stack: Stack, order: list[int], *, descending: bool) -> Analysis:
    datasets = make_datasets(stack, np.zeros(SHAPE, np.int16))
    return analysis_of(series_of([datasets[i] for i in order]), descending=descending)


@pytest.mark.parametrize("cosines", AXIS_COSINES)
@pytest.mark.parametrize("step", [2.0, -2.0])
def test_a_mask_lies_where_the_model_put_it_in_all_48_axis_orientations(
    cosines: tuple[float, ...], step: float
) -> None:
    stack = Stack(orientation=cosines, slice_step=step, pixel_spacing=(0.5, 0.75))
    assert_in_place(analysis_in(stack, list(range(SHAPE[0])), descending=step < 0))


@settings(deadline=None, max_examples=40)
@given(
    turn=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.1, 7)] * 2),
    step=st.floats(0.3, 9) | st.floats(-9, -0.3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    order=st.permutations(range(SHAPE[0])),
    descending=st.booleans(),
)
def test_a_mask_lies_where_the_model_put_it_in_any_oblique_orientation(
    turn: tuple[float, float, float],
    spacing: tuple[float, float],
    step: float,
    origin: tuple[float, float, float],
    order: list[int],
    descending: bool,  # noqa: FBT001 - drawn
) -> None:
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix().round(7)
    stack = Stack(
        orientation=(*axes[0], *axes[1]),
        pixel_spacing=(round(spacing[0], 5), round(spacing[1], 5)),
        slice_step=step,
        origin=origin,
    )
    assert_in_place(analysis_in(stack, order, descending=descending))


@settings(deadline=None, max_examples=25)
@given(
    axis=st.sampled_from([1, 2, (1, 2)]),
    cosines=st.sampled_from(AXIS_COSINES),
    kind=st.sampled_from(["pixels", "positions", "orientation"]),
)
def test_a_flipped_segmentation_does_not_pass(
    axis: int | tuple[int, int], cosines: tuple[float, ...], kind: str
) -> None:
    analysis = analysis_in(Stack(orientation=cosines), list(range(SHAPE[0])), descending=False)
    (result,) = SegWriter().write(analysis, ())
    ds = pydicom.dcmread(io.BytesIO(result.content))
    frames = list(ds.PerFrameFunctionalGroupsSequence)
    if kind == "pixels":
        pixels = np.flip(ds.pixel_array, axis)
        ds.PixelData = np.packbits(pixels.ravel(), bitorder="little").tobytes()
    elif kind == "positions":
        first = [
            one
            for one in frames
            if one.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
        ]
        positions = [one.PlanePositionSequence[0].ImagePositionPatient for one in first]
        for one, position in zip(first, reversed(positions), strict=True):
            one.PlanePositionSequence[0].ImagePositionPatient = position
    else:
        plane = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
        plane.ImageOrientationPatient = [-float(x) for x in plane.ImageOrientationPatient]
    buffer = io.BytesIO()
    ds.save_as(buffer)
    flipped = replace(result, content=buffer.getvalue())
    with pytest.raises(Defect, match=r"seg-misplaced|seg-differs"):
        check((flipped,), analysis)
