from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import Stack, make_datasets, ramp, series_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries

if TYPE_CHECKING:
    from clic_edge.domain.study import Series

SHAPE = (5, 4, 6)
# Round-off of decimal strings: the factory writes positions to 1e-6 mm.
TOLERANCE_MM = 2e-6


def clean(series: Series) -> CleanSeries:
    return CleanSeries(
        subject_id="subject",
        series_uid="2.25.1",
        instances=tuple(CleanInstance(content=one.content) for one in series.instances),
    )


def axis_orientations() -> list[tuple[float, ...]]:
    axes = [sign * axis for axis in np.eye(3) for sign in (1, -1)]
    return [
        tuple(float(x) for x in (*row, *column))
        for row in axes
        for column in axes
        if row @ column == 0
    ]


def oblique(vector: tuple[float, float, float]) -> tuple[float, ...]:
    matrix = Rotation.from_rotvec(vector).as_matrix()
    # Sixteen characters are all that a decimal string holds.
    return tuple(round(float(x), 12) for x in (*matrix[:, 0], *matrix[:, 1]))


angle = st.floats(-np.pi, np.pi)
orientations = st.sampled_from(axis_orientations()) | st.builds(
    oblique, st.tuples(angle, angle, angle)
)
millimetres = st.floats(0.3, 8.0).map(lambda x: round(x, 4))
stacks = st.builds(
    lambda orientation, origin, spacing, step: Stack(
        orientation=orientation, origin=origin, pixel_spacing=spacing, slice_step=step
    ),
    orientations,
    st.tuples(*[st.floats(-500, 500).map(lambda x: round(x, 3))] * 3),
    st.tuples(millimetres, millimetres),
    st.builds(lambda size, sign: size * sign, millimetres, st.sampled_from((1, -1))),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(stack=stacks, arrival=st.permutations(range(SHAPE[0])))
def test_every_voxel_lies_where_the_equation_of_its_own_slice_puts_it(
    stack: Stack, arrival: list[int]
) -> None:
    datasets = make_datasets(stack, ramp(SHAPE))
    volume = build_volume(clean(series_of([datasets[i] for i in arrival])), VolumePolicy())
    affine = volume.geometry.affine
    for place, source in enumerate(volume.slices):
        ds = datasets[arrival[source.instance_index]]
        assert np.array_equal(volume.voxels[place], ds.pixel_array)
        position = np.array(ds.ImagePositionPatient, float)
        cosines = np.array(ds.ImageOrientationPatient, float)
        # PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, written out for each pixel.
        for row, column in np.ndindex(SHAPE[1:]):
            expected = (
                position
                + cosines[:3] * float(ds.PixelSpacing[1]) * column
                + cosines[3:] * float(ds.PixelSpacing[0]) * row
            )
            actual = affine @ (place, row, column, 1)
            assert np.abs(actual[:3] - expected).max() < TOLERANCE_MM
    normal = np.cross(cosines[:3], cosines[3:])
    assert affine[:3, 0] @ normal > 0


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(stack=stacks, arrivals=st.lists(st.permutations(range(SHAPE[0])), min_size=2, max_size=2))
def test_the_order_of_arrival_changes_nothing(stack: Stack, arrivals: list[list[int]]) -> None:
    datasets = make_datasets(stack, ramp(SHAPE))
    one, other = (
        build_volume(clean(series_of([datasets[i] for i in arrival])), VolumePolicy())
        for arrival in arrivals
    )
    assert np.array_equal(one.voxels, other.voxels)
    assert np.array_equal(one.geometry.affine, other.geometry.affine)
