"""A label map in a file lies where it says, however its axes are turned; else it is not believed."""

from __future__ import annotations

import tempfile
from itertools import permutations, product
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_packages import known_labels, volume_of
from pydicom.sr.codedict import codes

from clic_edge.errors import Defect
from clic_edge.inference.label_files import read_labels
from clic_edge.inference.volume_files import LPS_TO_RAS, write_dicom, write_nifti

OBLIQUE = np.array(
    [[0.1, 0.2, 1.4, -30], [0.3, 1.1, -0.2, 12], [0.9, -0.3, 0.1, 55], [0, 0, 0, 1.0]]
)
TURNS = [(axes, signs) for axes in permutations(range(3)) for signs in product((1, -1), repeat=3)]
LABELS = known_labels((5, 6, 7))
VOLUME = volume_of(LABELS, affine=OBLIQUE)


def turned(axes: tuple[int, ...], signs: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels with their axes turned, and the affine that says so."""
    values = LABELS.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
    step = np.zeros((4, 4))
    step[3, 3] = 1
    for place, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        step[axis, place] = sign
        step[axis, 3] = LABELS.shape[axis] - 1 if sign < 0 else 0
    return values, LPS_TO_RAS @ OBLIQUE @ step


def read(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryDirectory() as name:
        nibabel.save(nibabel.Nifti1Image(values, affine), Path(name) / "labels.nii.gz")
        return read_labels(Path(name), VOLUME.geometry, segments=2)


@given(turn=st.sampled_from(TURNS))
@settings(deadline=None, max_examples=24)
def test_nifti_whose_axes_are_turned_comes_back_as_it_was(
    turn: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    np.testing.assert_array_equal(read(*turned(*turn)), LABELS)


@given(
    turn=st.sampled_from(TURNS),
    axis=st.integers(0, 2),
    by=st.floats(0.02, 3).flatmap(lambda size: st.sampled_from([size, -size])),
)
@settings(deadline=None, max_examples=24)
def test_nifti_that_lies_a_part_of_a_voxel_elsewhere_is_not_believed(
    turn: tuple[tuple[int, ...], tuple[int, ...]], axis: int, by: float
) -> None:
    values, affine = turned(*turn)
    moved = affine.copy()
    moved[:3, 3] += by * affine[:3, axis]
    with pytest.raises(Defect) as error:
        read(values, moved)
    assert error.value.code == "runtime-grid"


def test_a_volume_written_as_nifti_or_dicom_says_where_it_lies(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", VOLUME, VOLUME.voxels)
    image = nibabel.load(tmp_path / "a.nii")
    np.testing.assert_array_equal(np.asarray(image.dataobj), VOLUME.voxels)
    np.testing.assert_allclose(image.affine, LPS_TO_RAS @ OBLIQUE, atol=1e-5)
    write_dicom(tmp_path, VOLUME, VOLUME.voxels)
    for index, path in enumerate(sorted(tmp_path.glob("*.dcm"))):
        one = pydicom.dcmread(path)
        np.testing.assert_array_equal(one.pixel_array, VOLUME.voxels[index])
        place = np.asarray(one.ImagePositionPatient, float)
        np.testing.assert_allclose(place, (OBLIQUE @ (index, 0, 0, 1))[:3], atol=1e-5)


def test_fractions_of_a_volume_survive_dicom_to_a_sixtyfivethousandth(tmp_path: Path) -> None:
    voxels = (VOLUME.voxels * 0.37 - 11).astype(np.float32)
    write_dicom(tmp_path, VOLUME, voxels)
    found = np.stack(
        [
            one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept)
            for one in map(pydicom.dcmread, sorted(tmp_path.glob("*.dcm")))
        ]
    )
    np.testing.assert_allclose(found, voxels, atol=np.ptp(voxels) / 65535)


@pytest.mark.parametrize("form", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_a_segmentation_in_dicom_comes_back_as_it_was(tmp_path: Path, form: str) -> None:
    straight = np.diag([2.0, 1.5, 1.25, 1.0])[[2, 1, 0, 3]]
    volume = volume_of(LABELS, affine=straight)
    write_dicom(tmp_path, volume, volume.voxels)
    series = [pydicom.dcmread(path) for path in sorted(tmp_path.glob("*.dcm"))]
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=str(number),
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.Hippocampus,
            algorithm_type="MANUAL",
        )
        for number in (1, 2)
    ]
    masks = np.stack([LABELS == 1, LABELS == 2], axis=-1)
    highdicom.seg.Segmentation(
        source_images=series,
        pixel_array=LABELS
        if form == "LABELMAP"
        else masks.astype(np.float32 if form == "FRACTIONAL" else np.uint8),
        segmentation_type=form,
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(),
        series_number=2,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Phantom Works",
        manufacturer_model_name="hand",
        software_versions="1",
        device_serial_number="1",
    ).save_as(tmp_path / "result.dcm")
    found = read_labels(tmp_path, volume.geometry, segments=2)
    np.testing.assert_array_equal(found, LABELS)
    elsewhere = volume_of(LABELS, affine=straight + np.eye(4)[:, [3, 3, 3, 0]] * 0.5)
    with pytest.raises(Defect) as error:
        read_labels(tmp_path, elsewhere.geometry, segments=2)
    assert error.value.code == "runtime-grid"
