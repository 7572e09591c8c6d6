"""A segmentation lies where the model put it, in whatever geometry; what is moved is refused."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import permutations, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pydicom
import pytest
from analyses import SEGMENTS, analysis_of, asymmetric
from factories import Stack, make_datasets, series_of
from hypothesis import given, settings
from hypothesis import strategies as st
from multiframe import enhanced
from scipy.spatial.transform import Rotation

from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.domain.prediction import SegmentFinding
from clic_edge.domain.volume import Geometry
from clic_edge.errors import Defect
from clic_edge.inference.labelling import label_map
from clic_edge.inference.transforms import network_grid
from clic_edge.results.check import check
from clic_edge.results.check_geometry import check_geometry
from clic_edge.results.dcmqi import reread
from clic_edge.results.seg import SegWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.domain.result import ResultObject
    from clic_edge.domain.study import Series
    from clic_edge.domain.volume import Volume
    from clic_edge.results.writer import Analysis

TOLERANCE_MM = 0.01
SHAPE = (5, 7, 9)
AXES = [(sign * np.eye(3)[i]) for i, sign in product(range(3), (1, -1))]
AXIS_COSINES = [(*row, *column) for row, column in permutations(AXES, 2) if abs(row @ column) < 0.5]

angles = st.tuples(*[st.floats(-180, 180)] * 3)


def oblique(turn: tuple[float, float, float]) -> tuple[float, ...]:
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix().round(7)
    return (*axes[0], *axes[1])


orientations = st.sampled_from(AXIS_COSINES) | angles.map(oblique)
stacks = st.builds(
    lambda orientation, spacing, step, origin: Stack(
        orientation=orientation,
        pixel_spacing=(round(spacing[0], 5), round(spacing[1], 5)),
        slice_step=step,
        origin=origin,
    ),
    orientations,
    st.tuples(*[st.floats(0.1, 7)] * 2),
    st.floats(0.3, 9) | st.floats(-9, -0.3),
    st.tuples(*[st.floats(-900, 900)] * 3),
)


class Place(NamedTuple):
    """Where a segment lies in the patient, in mm: each voxel, and what is measured of them."""

    points: NDArray[np.float64]
    centroid: NDArray[np.float64]
    corners: NDArray[np.float64]
    """The eight of the bounding box along the axes of the grid."""
    volume: float


def placed(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> Place:
    """Measure a mask on a grid; corners are sorted, so that the order of axes doesn't matter."""
    indices = np.column_stack([*np.nonzero(mask), np.ones(mask.sum())])
    ends = zip(indices.min(axis=0)[:3], indices.max(axis=0)[:3], strict=True)
    corners = np.array([(*corner, 1) for corner in product(*ends)]) @ affine.T
    points = (indices @ affine.T)[:, :3]
    return Place(
        points=in_order(points),
        centroid=points.mean(axis=0),
        corners=in_order(corners[:, :3]),
        volume=len(points) * abs(np.linalg.det(affine[:3, :3])),
    )


def in_order(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sort points along a direction in which no two of a grid are level."""
    return points[np.argsort(points @ np.array([1.0, np.pi, np.e**2]))]


def seen_by_dcmqi(result: ResultObject) -> dict[int, Place]:
    """Return where dcmqi sees each segment."""
    with reread(result.content, result.content, merged=True) as found:
        (volume,) = found.volumes
        voxels = np.array(list(volume.slices()))
        return {number: placed(voxels == number, volume.affine) for number in found.segments}


def seen_by_a_viewer(result: ResultObject) -> dict[int, NDArray[np.float64]]:
    """Return each segment's voxels as PS3.3 C.7.6.2.1.1 tells a viewer."""
    ds = pydicom.dcmread(io.BytesIO(result.content))
    shared = ds.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
    pixels = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    points: dict[int, list[NDArray[np.float64]]] = {}
    for frame, plane in zip(ds.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(plane)
        points.setdefault(number, []).append(
            position
            + np.outer(columns * spacing[1], cosines[:3])
            + np.outer(rows * spacing[0], cosines[3:])
        )
    return {number: in_order(np.concatenate(many)) for number, many in points.items()}


def written(analysis: Analysis) -> ResultObject:
    (result,) = SegWriter().write(analysis, ())
    check((result,), analysis)
    return result


def near(found: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    return found.shape == expected.shape and bool(np.abs(found - expected).max() < TOLERANCE_MM)


def assert_in_place(analysis: Analysis) -> None:
    """Compare what a viewer and dcmqi see with what the model meant: Dice is 1, and more."""
    result = written(analysis)
    viewer, dcmqi = seen_by_a_viewer(result), seen_by_dcmqi(result)
    with_voxels = [one for one in analysis.prediction.segments if one.voxel_count]
    assert len(with_voxels) == len(viewer) == len(dcmqi)
    for number, finding in enumerate(with_voxels, start=1):
        mask = analysis.prediction.label_map == finding.definition.number
        meant = placed(mask, analysis.prediction.geometry.affine)
        assert near(viewer[number], meant.points)
        assert near(dcmqi[number].points, meant.points)
        assert near(dcmqi[number].centroid, meant.centroid)
        assert near(dcmqi[number].corners, meant.corners)
        assert dcmqi[number].volume == pytest.approx(finding.volume_mm3, rel=1e-5)


def analysis_in(
    stack: Stack, order: list[int] | None = None, *, descending: bool = False
) -> Analysis:
    datasets = make_datasets(stack, np.zeros(SHAPE, np.int16))
    series = series_of([datasets[i] for i in order or range(SHAPE[0])])
    return analysis_of(series, descending=descending)


@pytest.mark.slow
@pytest.mark.parametrize("cosines", AXIS_COSINES)
@pytest.mark.parametrize("step", [2.0, -2.0])
def test_a_mask_lies_where_the_model_put_it_in_all_48_axis_orientations(
    cosines: tuple[float, ...], step: float
) -> None:
    stack = Stack(orientation=cosines, slice_step=step, pixel_spacing=(0.5, 0.75))
    assert_in_place(analysis_in(stack, descending=step < 0))


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(stack=stacks, order=st.permutations(range(SHAPE[0])), descending=st.booleans())
def test_a_mask_lies_where_the_model_put_it_however_the_slices_lie_and_arrive(
    stack: Stack,
    order: list[int],
    descending: bool,  # noqa: FBT001 - drawn
) -> None:
    assert_in_place(analysis_in(stack, order, descending=descending))


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(stack=stacks, order=st.permutations(range(SHAPE[0])))
def test_a_mask_on_an_enhanced_image_lies_where_the_model_put_it(
    stack: Stack, order: list[int]
) -> None:
    datasets = make_datasets(stack, np.zeros(SHAPE, np.int16))
    multi = enhanced([datasets[i] for i in order])
    assert_in_place(analysis_of(series_of([multi])))


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(
    stack=stacks,
    occupied=st.sets(st.integers(0, SHAPE[0] - 1), min_size=1),
    segments=st.sets(st.sampled_from([1, 2, 3]), min_size=1),
)
def test_slices_and_segments_without_a_voxel_move_no_other(
    stack: Stack, occupied: set[int], segments: set[int]
) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    for number in segments:
        for k in occupied:
            mask[k, number : number + 2, k : k + 3] = number
    series = analysis_in(stack).series
    assert_in_place(analysis_of(series, mask=mask))


def volume_of(series: Series) -> Volume:
    clean = CleanSeries(
        subject_id="subject",
        series_uid="2.25.1",
        instances=tuple(CleanInstance(content=one.content) for one in series.instances),
    )
    return build_volume(clean, VolumePolicy(gantry_tilt="shear"))


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(
    stack=stacks,
    tilt=st.tuples(*[st.floats(-0.4, 0.4)] * 2),
    order=st.permutations(range(SHAPE[0])),
)
def test_a_mask_on_a_tilted_stack_leans_as_the_images_do(
    stack: Stack, tilt: tuple[float, float], order: list[int]
) -> None:
    datasets = make_datasets(stack, np.zeros(SHAPE, np.int16))
    row, column = np.array(stack.orientation[:3]), np.array(stack.orientation[3:])
    for k, ds in enumerate(datasets):
        aside = tilt[0] * row + tilt[1] * column  # up to 30 degrees, as gantries do
        leaning = stack.position(k) + k * stack.slice_step * aside
        ds.ImagePositionPatient = [round(float(x), 6) for x in leaning]
    series = series_of([datasets[i] for i in order])
    volume = volume_of(series)
    analysis = analysis_of(series, volume=volume)
    viewer = seen_by_a_viewer(written(analysis))
    for number in viewer:
        mask = analysis.prediction.label_map == number
        assert near(viewer[number], placed(mask, volume.geometry.affine).points)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    stack=stacks,
    jitter=st.lists(st.tuples(*[st.floats(-1, 1)] * 3), min_size=SHAPE[0], max_size=SHAPE[0]),
)
def test_positions_that_a_scanner_rounded_are_no_reason_to_refuse(
    stack: Stack, jitter: list[tuple[float, float, float]]
) -> None:
    rounding = 0.4 * min(0.1, 0.05 * abs(stack.slice_step))  # of what `fit_grid` takes
    datasets = make_datasets(stack, np.zeros(SHAPE, np.int16))
    for k, ds in enumerate(datasets):
        rounded = stack.position(k) + rounding * np.array(jitter[k])
        ds.ImagePositionPatient = [round(float(x), 6) for x in rounded]
    series = series_of(datasets)
    result = written(analysis_of(series, volume=volume_of(series)))
    assert set(seen_by_a_viewer(result)) == {1, 2, 3}


def with_mask(analysis: Analysis, mask: NDArray[np.uint8], geometry: Geometry) -> Analysis:
    """Return the analysis with another mask on another grid, and findings that fit both."""
    prediction = analysis.prediction
    findings = tuple(
        SegmentFinding(
            definition=segment,
            voxel_count=(count := int((mask == segment.number).sum())),
            volume_mm3=count * geometry.voxel_volume_mm3,
            mean_probability=0.9 if count else 0.0,
        )
        for segment in SEGMENTS
    )
    return replace(
        analysis,
        prediction=replace(prediction, label_map=mask, geometry=geometry, segments=findings),
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(
    stack=stacks.filter(lambda one: max(one.pixel_spacing) < 3 > abs(one.slice_step)),
    coarser=st.floats(0.6, 1.4),
    cropped=st.integers(0, 2),
)
def test_what_a_cropped_and_resampled_network_sees_is_found_at_its_millimetres(
    stack: Stack, coarser: float, cropped: int
) -> None:
    shape = (14, 15, 16)
    widest = max(*stack.pixel_spacing, abs(stack.slice_step))
    network_mm = coarser * widest  # so that the network sees the ball
    row, column = np.array(stack.orientation[:3]), np.array(stack.orientation[3:])
    rows, columns = np.indices(shape[1:])
    planes = np.array(
        [
            stack.position(k)
            + (rows * stack.pixel_spacing[0])[..., None] * column
            + (columns * stack.pixel_spacing[1])[..., None] * row
            for k in range(shape[0])
        ]
    )
    centre, radius = planes[5, 8, 9], 3.2 * widest
    ball = np.linalg.norm(planes - centre, axis=-1) < radius
    series = series_of(make_datasets(stack, 1000 * ball.astype(np.int16)))
    volume = volume_of(series)
    grid = network_grid(volume.geometry, orientation="RAS", spacing_mm=(network_mm,) * 3)
    crop = tuple(slice(cropped, -cropped or None) if n > 6 else slice(None) for n in grid.shape)
    bright = np.zeros(grid.shape, np.float32)
    bright[crop] = grid.to_network(volume.voxels)[crop] / 1000
    mask = label_map([1 - bright, bright], grid).label_map
    analysis = with_mask(analysis_of(series, volume=volume), mask, volume.geometry)
    found = seen_by_dcmqi(written(analysis))[1]
    order = [one.instance_index for one in volume.slices]
    assert near(found.points, in_order(planes[order][mask == 1]))
    within = planes[order][mask.astype(bool) & ball[order]]
    assert len(within) > len(found.points) / 2
    assert np.linalg.norm(found.centroid - within.mean(axis=0)) < radius / 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cropped", "resampled", "shifted", "turned round"])
def test_a_mask_on_another_grid_than_the_images_does_not_leave(kind: str) -> None:
    analysis = analysis_in(Stack(slice_step=2.0))
    mask, affine = analysis.prediction.label_map, analysis.prediction.geometry.affine.copy()
    if kind == "cropped":
        mask = mask[1:, :, 1:]
        affine[:3, 3] += affine[:3, 0] + affine[:3, 2]
    elif kind == "resampled":
        affine[:3, :3] *= 1.5
    elif kind == "shifted":
        affine[:3, 3] += affine[:3, 1] / 2
    else:
        affine[:3, 3] += affine[:3, 2] * (mask.shape[2] - 1)
        affine[:3, 2] *= -1
    other = with_mask(analysis, mask, Geometry(affine=affine, shape=mask.shape))
    with pytest.raises(Defect, match=r"seg-misplaced|mask-off-grid"):
        written(other)
    with pytest.raises(Defect, match="seg-misplaced"):
        check((written(analysis),), other)
    assert_refused_by_the_proof(written(analysis), other)


def test_an_even_grid_over_images_with_a_gap_does_not_leave() -> None:
    datasets = make_datasets(Stack(), np.zeros((8, 7, 9), np.int16))
    with pytest.raises(Defect, match="seg-misplaced"):
        written(analysis_of(series_of([*datasets[:3], *datasets[4:]])))


def flip_rows(ds: Dataset) -> None:
    repack(ds, np.flip(ds.pixel_array, 1))


def flip_columns(ds: Dataset) -> None:
    repack(ds, np.flip(ds.pixel_array, 2))


def turn_half_round(ds: Dataset) -> None:
    repack(ds, np.flip(ds.pixel_array, (1, 2)))


def shift_by_a_pixel(ds: Dataset) -> None:
    repack(ds, np.roll(ds.pixel_array, 1, 2))


def swap_two_frames(ds: Dataset) -> None:
    pixels = ds.pixel_array
    repack(ds, pixels[[1, 0, *range(2, len(pixels))]])


def reverse_the_frames(ds: Dataset) -> None:
    repack(ds, ds.pixel_array[::-1])


def repack(ds: Dataset, pixels: NDArray[np.uint8]) -> None:
    ds.PixelData = np.packbits(pixels.ravel(), bitorder="little").tobytes()


def reverse_the_positions(ds: Dataset) -> None:
    first = [
        one
        for one in ds.PerFrameFunctionalGroupsSequence
        if one.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
    ]
    positions = [one.PlanePositionSequence[0].ImagePositionPatient for one in first]
    for one, position in zip(first, reversed(positions), strict=True):
        one.PlanePositionSequence[0].ImagePositionPatient = position


def negate_a_cosine(ds: Dataset) -> None:
    plane = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    cosines = [float(x) for x in plane.ImageOrientationPatient]
    plane.ImageOrientationPatient = [-x for x in cosines[:3]] + cosines[3:]


def negate_all_cosines(ds: Dataset) -> None:
    plane = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [-float(x) for x in plane.ImageOrientationPatient]


def exchange_rows_and_columns(ds: Dataset) -> None:
    plane = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    cosines = list(plane.ImageOrientationPatient)
    plane.ImageOrientationPatient = cosines[3:] + cosines[:3]


def exchange_the_spacings(ds: Dataset) -> None:
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = measures.PixelSpacing[::-1]


def shift_a_frame_by_half_a_voxel(ds: Dataset) -> None:
    shift(ds, ds.PerFrameFunctionalGroupsSequence[:1])


def shift_all_by_half_a_voxel(ds: Dataset) -> None:
    shift(ds, ds.PerFrameFunctionalGroupsSequence)


def shift(ds: Dataset, frames: list[Dataset]) -> None:
    shared = ds.SharedFunctionalGroupsSequence[0]
    along_row = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient[:3], float)
    half = along_row * float(shared.PixelMeasuresSequence[0].PixelSpacing[1]) / 2
    for frame in frames:
        plane = frame.PlanePositionSequence[0]
        moved = np.array(plane.ImagePositionPatient, float) + half
        plane.ImagePositionPatient = [round(float(x), 6) for x in moved]


MUTATIONS = [
    flip_rows,
    flip_columns,
    turn_half_round,
    shift_by_a_pixel,
    swap_two_frames,
    reverse_the_frames,
    reverse_the_positions,
    negate_a_cosine,
    negate_all_cosines,
    exchange_rows_and_columns,
    exchange_the_spacings,
    shift_a_frame_by_half_a_voxel,
    shift_all_by_half_a_voxel,
]


def assert_refused_by_the_proof(result: ResultObject, analysis: Analysis) -> None:
    ds = pydicom.dcmread(io.BytesIO(result.content))
    with pytest.raises(Defect, match=r"seg-misplaced|seg-differs"):
        check_geometry(ds, result, analysis)


@pytest.mark.slow
@settings(deadline=None, max_examples=6)
@given(
    # Spacings that are the same can be exchanged.
    stack=stacks.filter(
        lambda one: one.pixel_spacing[1] > 0.5 and abs(np.diff(one.pixel_spacing)) > 0.2
    )
)
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_segmentation_that_was_turned_or_moved_is_refused_by_either_reader(
    mutation: Callable[[Dataset], None], stack: Stack
) -> None:
    analysis = analysis_of(
        series_of(make_datasets(stack, np.zeros(SHAPE, np.int16))), mask=asymmetric(SHAPE)
    )
    result = written(analysis)
    ds = pydicom.dcmread(io.BytesIO(result.content))
    mutation(ds)
    buffer = io.BytesIO()
    ds.save_as(buffer)
    moved = replace(result, content=buffer.getvalue())
    assert_refused_by_the_proof(moved, analysis)
    with pytest.raises(Defect, match=r"seg-misplaced|seg-differs"):
        check((moved,), analysis)
