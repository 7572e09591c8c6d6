from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import Stack, file_bytes, make_datasets, ramp
from multiframe import enhanced

from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.domain.volume import SliceSource
from clic_edge.errors import ClicEdgeError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OBLIQUE = Stack(orientation=(0.8, 0.6, 0, 0, 0, -1), pixel_spacing=(0.5, 0.25), slice_step=2.0)
ARRIVAL = (4, 0, 6, 2, 7, 1, 5, 3)


def clean(*datasets: Dataset) -> CleanSeries:
    return CleanSeries(
        subject_id="subject",
        series_uid="2.25.1",
        instances=tuple(CleanInstance(content=file_bytes(ds)) for ds in datasets),
    )


def shuffled() -> list[Dataset]:
    datasets = make_datasets(OBLIQUE, ramp())
    return [datasets[index] for index in ARRIVAL]


def test_an_enhanced_image_is_the_volume_of_its_classic_slices() -> None:
    classic = build_volume(clean(*shuffled()), VolumePolicy())
    multi = build_volume(clean(enhanced(shuffled())), VolumePolicy())
    assert np.array_equal(multi.geometry.affine, classic.geometry.affine)
    numbers = np.array([source.frame_number for source in multi.slices])[:, None, None]
    assert np.array_equal(multi.voxels, classic.voxels * numbers - numbers)
    assert multi.slices == tuple(
        SliceSource(instance_index=0, frame_number=source.instance_index + 1)
        for source in classic.slices
    )


def test_the_acquisition_is_found_in_the_functional_groups() -> None:
    acquisition = build_volume(clean(enhanced(shuffled())), VolumePolicy()).acquisition
    assert (acquisition.repetition_time_ms, acquisition.echo_time_ms) == (9.0, 4.0)
    assert (acquisition.flip_angle_deg, acquisition.slice_thickness_mm) == (15.0, 2.5)


def test_frames_at_several_times_are_told_apart_by_temporal_position() -> None:
    multi = enhanced([*shuffled(), *shuffled()])
    for number, groups in enumerate(multi.PerFrameFunctionalGroupsSequence):
        groups.FrameContentSequence[0].TemporalPositionIndex = number // 8 + 1
    with pytest.raises(ClicEdgeError, match="told apart by temporal position") as caught:
        build_volume(clean(multi), VolumePolicy())
    assert caught.value.code == "several-volumes"
    last = build_volume(clean(multi), VolumePolicy(volumes="last"))
    assert {source.frame_number for source in last.slices} == set(range(9, 17))


def test_a_missing_frame_is_refused() -> None:
    with pytest.raises(ClicEdgeError) as caught:
        build_volume(clean(enhanced(shuffled()[1:])), VolumePolicy())
    assert caught.value.code == "missing-slices"


def test_functional_groups_that_do_not_match_the_frames_are_a_defect() -> None:
    multi = enhanced(shuffled())
    multi.NumberOfFrames = 9
    with pytest.raises(ClicEdgeError) as caught:
        build_volume(clean(multi), VolumePolicy())
    assert caught.value.code == "invalid-attribute"


def test_frames_without_positions_are_refused() -> None:
    multi = enhanced(shuffled())
    del multi.PerFrameFunctionalGroupsSequence
    with pytest.raises(ClicEdgeError) as caught:
        build_volume(clean(multi), VolumePolicy())
    assert caught.value.code == "missing-geometry"
