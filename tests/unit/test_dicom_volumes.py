from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from factories import AXIAL, Stack, file_bytes, make_datasets, ramp
from pydicom.uid import BasicTextSRStorage, SecondaryCaptureImageStorage

from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.domain.volume import SliceSource
from clic_edge.errors import ClicEdgeError, Defect, Refusal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from clic_edge.domain.volume import Volume

STRICT = VolumePolicy()


def clean_series(datasets: list[Dataset]) -> CleanSeries:
    contents = [file_bytes(ds) for ds in datasets]
    return CleanSeries(
        subject_id="subject",
        series_uid="2.25.1",
        instances=tuple(CleanInstance(content=content) for content in contents),
    )


def build(datasets: list[Dataset], policy: VolumePolicy = STRICT) -> Volume:
    return build_volume(clean_series(datasets), policy)


def refusal(datasets: list[Dataset], policy: VolumePolicy = STRICT) -> ClicEdgeError:
    with pytest.raises(ClicEdgeError) as caught:
        build(datasets, policy)
    return caught.value


def plain(stack: Stack | None = None) -> list[Dataset]:
    return make_datasets(stack or Stack(), ramp())


def renumber(datasets: list[Dataset]) -> list[Dataset]:
    """Give each dataset its own instance UID and number, in order."""
    for number, ds in enumerate(datasets, start=1):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.{number}"
        ds.InstanceNumber = number
    return datasets


def test_slices_are_ordered_by_position_and_remember_where_they_came_from() -> None:
    datasets = plain()
    arrival = [3, 0, 7, 5, 1, 6, 2, 4]
    volume = build([datasets[index] for index in arrival])
    assert np.array_equal(volume.voxels, ramp())
    assert volume.slices == tuple(
        SliceSource(instance_index=arrival.index(index), frame_number=1) for index in range(8)
    )
    assert not volume.voxels.flags.writeable
    assert not volume.geometry.affine.flags.writeable
    assert (volume.subject_id, volume.series_uid) == ("subject", "2.25.1")


def test_a_series_acquired_downwards_is_the_same_volume() -> None:
    stack = Stack(slice_step=-2.0)
    volume = build(plain(stack))
    assert np.array_equal(volume.voxels, ramp()[::-1])
    assert volume.geometry.spacing_mm == (2.0, 1.0, 1.0)
    assert np.allclose(volume.geometry.affine[:3, 3], stack.position(7))


def test_the_affine_is_the_equation_of_the_standard() -> None:
    stack = Stack(orientation=(0, 1, 0, 0, 0, -1), pixel_spacing=(0.5, 0.25), slice_step=3.0)
    affine = build(plain(stack)).geometry.affine
    assert np.allclose(affine[:3, 0], [-3, 0, 0])
    assert np.allclose(affine[:3, 1], [0, 0, -0.5])
    assert np.allclose(affine[:3, 2], [0, 0.25, 0])


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [
        (1.0, -1024.0, np.int16),
        (1.0, 32_000.0, np.float32),
        (1.0, 0.5, np.float32),
        (0.1, 0.0, np.float32),
    ],
)
def test_values_are_rescaled_and_stay_int16_where_nothing_is_lost(
    slope: float, intercept: float, dtype: type
) -> None:
    volume = build(plain(Stack(modality="CT", slope=slope, intercept=intercept)))
    assert volume.voxels.dtype == dtype
    assert np.allclose(volume.voxels, ramp() * slope + intercept, rtol=1e-6)


def test_each_slice_has_its_own_rescale() -> None:
    datasets = plain(Stack(modality="CT"))
    for factor, ds in enumerate(datasets, start=1):
        ds.RescaleSlope = factor
    expected = ramp() * np.arange(1, 9)[:, None, None]
    assert np.array_equal(build(datasets).voxels, expected)


def test_one_slice_that_does_not_fit_makes_the_whole_volume_float() -> None:
    datasets = plain()
    datasets[4].PixelRepresentation = 0
    datasets[4].PixelData = np.full((10, 12), 65_535, np.uint16).tobytes()
    volume = build(datasets)
    assert volume.voxels.dtype == np.float32
    assert volume.voxels[4].min() == 65_535
    assert np.array_equal(volume.voxels[:4], ramp()[:4])


def test_bits_above_those_stored_are_not_read() -> None:
    datasets = plain()
    for ds in datasets:
        ds.PixelRepresentation, ds.BitsStored, ds.HighBit = 0, 12, 11
        overlay = np.frombuffer(ds.PixelData, np.uint16) | 0xF000
        ds.PixelData = overlay.tobytes()
    assert np.array_equal(build(datasets).voxels, ramp())


def test_the_acquisition_is_what_the_header_says() -> None:
    acquisition = build(plain()).acquisition
    assert (acquisition.modality, acquisition.manufacturer) == ("MR", "Phantom Works")
    assert (acquisition.repetition_time_ms, acquisition.echo_time_ms) == (8.0, 3.0)
    assert acquisition.kvp is None


def test_a_missing_slice_is_refused_with_its_place() -> None:
    found = refusal([ds for index, ds in enumerate(plain()) if index != 3])
    assert isinstance(found, Refusal)
    assert found.code == "missing-slices"
    assert found.sentence == (
        "1 missing, the first after slice 3 of 7: 2.00 mm where neighbours lie 1.00 mm apart"
    )


def test_two_missing_slices_are_counted() -> None:
    found = refusal([ds for index, ds in enumerate(plain()) if index not in {3, 4}])
    assert (found.code, found.sentence[:9]) == ("missing-slices", "2 missing")


@pytest.mark.parametrize("shift", [0.3, -0.3, 0.12])
def test_uneven_spacing_is_refused(shift: float) -> None:
    datasets = plain()
    datasets[3].ImagePositionPatient[2] += shift
    assert refusal(datasets).code == "uneven-spacing"


def test_positions_rounded_by_the_scanner_are_accepted() -> None:
    stack = Stack(slice_step=3.3333)
    datasets = plain(stack)
    for ds in datasets:
        ds.ImagePositionPatient = [round(float(x), 1) for x in ds.ImagePositionPatient]
    assert build(datasets).geometry.spacing_mm[0] == pytest.approx(3.3333, abs=0.02)


def test_a_slice_beside_the_stack_is_refused() -> None:
    datasets = plain()
    datasets[4].ImagePositionPatient[0] += 0.4
    assert refusal(datasets).code == "misaligned-slices"


def test_the_same_slice_twice_is_refused() -> None:
    datasets = plain()
    assert refusal([*datasets, datasets[2]]).code == "duplicate-slices"
    assert refusal([*datasets, *datasets]).code == "duplicate-slices"


def test_a_position_filled_by_another_instance_is_refused_under_every_policy() -> None:
    datasets = renumber([*plain(), plain()[2]])
    assert refusal(datasets, VolumePolicy(volumes="first")).code == "duplicate-slices"


def two_volumes() -> list[Dataset]:
    later = make_datasets(Stack(), ramp() + np.int16(5000))
    return renumber([*plain(), *later])


def test_several_volumes_are_refused_or_chosen_by_the_policy() -> None:
    datasets = two_volumes()
    assert refusal(datasets).code == "several-volumes"
    assert np.array_equal(build(datasets, VolumePolicy(volumes="first")).voxels, ramp())
    assert np.array_equal(build(datasets, VolumePolicy(volumes="last")).voxels, ramp() + 5000)


def test_an_attribute_tells_volumes_apart_where_the_count_would_mix_them() -> None:
    datasets = two_volumes()
    for ds in datasets[:8]:
        ds.DiffusionBValue = 0.0
    for ds in datasets[8:]:
        ds.DiffusionBValue = 1000.0
    datasets[0].InstanceNumber, datasets[8].InstanceNumber = 99, 1
    volume = build(datasets, VolumePolicy(volumes="first"))
    assert np.array_equal(np.sort(volume.voxels % 5000, axis=None), np.arange(960))
    assert np.unique(volume.voxels // 5000).size == 1
    assert "diffusion b-value" in refusal(datasets).sentence


def test_volumes_that_nothing_tells_apart_are_never_chosen_from() -> None:
    datasets = two_volumes()
    for ds in datasets:
        del ds.InstanceNumber
    found = refusal(datasets, VolumePolicy(volumes="first"))
    assert (found.code, "no attribute" in found.sentence) == ("several-volumes", True)


def test_a_count_that_would_mix_echoes_is_not_trusted() -> None:
    datasets = two_volumes()
    for ds in datasets[:8]:
        ds.EchoTime, ds.TemporalPositionIdentifier = 3.0, 1
    for ds in datasets[8:]:
        ds.EchoTime, ds.TemporalPositionIdentifier = 3.0, 1
    datasets[0].EchoTime = datasets[9].EchoTime = 5.0
    found = refusal(datasets, VolumePolicy(volumes="last"))
    assert (found.code, "no attribute" in found.sentence) == ("several-volumes", True)


@pytest.mark.parametrize(
    "flipped",
    [(-1, 0, 0, 0, -1, 0), (1, 0, 0, 0, -1, 0), (0, 1, 0, 1, 0, 0)],
)
def test_an_orientation_that_flips_is_refused_under_every_policy(flipped: tuple[int, ...]) -> None:
    datasets = plain()
    datasets[5].ImageOrientationPatient = list(flipped)
    assert refusal(datasets).code == "flipped-orientation"
    assert refusal(datasets, VolumePolicy(orientations="largest")).code == "flipped-orientation"


def test_a_localizer_is_refused_or_its_largest_orientation_taken() -> None:
    sagittal = Stack(orientation=(0, 1, 0, 0, 0, -1), origin=(0, 0, 0))
    datasets = renumber([*make_datasets(sagittal, ramp((3, 10, 12))), *plain()])
    assert refusal(datasets).sentence == "the slices have 2 orientations (8, 3)"
    volume = build(datasets, VolumePolicy(orientations="largest"))
    assert np.array_equal(volume.voxels, ramp())
    assert volume.slices[0].instance_index == 3
    assert refusal(datasets[:6], VolumePolicy(orientations="largest")).code == "mixed-orientations"


def tilted(degrees: float) -> list[Dataset]:
    datasets = plain()
    for index, ds in enumerate(datasets):
        ds.ImagePositionPatient[1] += index * np.tan(np.radians(degrees))
    return datasets


def test_a_gantry_tilt_is_refused_with_its_angle_or_kept_as_a_sheared_grid() -> None:
    datasets = tilted(15)
    found = refusal(datasets)
    assert (found.code, "15.0 degrees" in found.sentence) == ("gantry-tilt", True)
    geometry = build(datasets, VolumePolicy(gantry_tilt="shear")).geometry
    assert np.allclose(geometry.affine[:3, 0], [0, np.tan(np.radians(15)), 1])
    assert geometry.voxel_volume_mm3 == pytest.approx(1.0)


def test_a_lean_that_is_only_rounding_is_no_tilt() -> None:
    assert build(tilted(0.5)).geometry.shape == (8, 10, 12)


@pytest.mark.parametrize(
    ("keyword", "value"), [("Rows", 6), ("PixelSpacing", [2.0, 2.0]), ("Columns", 6)]
)
def test_slices_of_different_sizes_are_refused(keyword: str, value: object) -> None:
    datasets = plain()
    setattr(datasets[2], keyword, value)
    assert refusal(datasets).code == "mixed-sizes"


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("ImagePositionPatient", None, "missing-geometry"),
        ("ImageOrientationPatient", None, "missing-geometry"),
        ("PixelSpacing", None, "missing-geometry"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "mosaic"),
        ("FrameOfReferenceUID", "2.25.99", "mixed-frames-of-reference"),
        ("PhotometricInterpretation", "RGB", "not-monochrome"),
        ("SOPClassUID", SecondaryCaptureImageStorage, "unsupported-object"),
        ("PixelSpacing", [0, 1], "invalid-attribute"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "invalid-attribute"),
        ("ImagePositionPatient", [1, 2], "invalid-attribute"),
        ("RescaleSlope", 0, "invalid-attribute"),
        ("NumberOfFrames", -1, "missing-geometry"),
        ("NumberOfFrames", 2, "missing-geometry"),
        ("Rows", 0, "invalid-attribute"),
        ("Rows", 4000, "mixed-sizes"),
        ("BitsStored", 99, "invalid-attribute"),
    ],
)
def test_one_slice_that_is_not_like_the_others_is_named(
    keyword: str, value: object, code: str
) -> None:
    datasets = plain()
    setattr(datasets[3], keyword, value)
    assert refusal(datasets).code == code


def test_too_few_pixels_are_a_truncation() -> None:
    datasets = plain()
    for ds in datasets:
        ds.Rows = 4000
    found = refusal(datasets)
    assert isinstance(found, Defect)
    assert found.sentence == "instance 1 of 8 ends before its last pixel"


def test_a_report_among_the_images_is_named_by_position() -> None:
    datasets = plain()
    report = datasets[6]
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(report, keyword)
    found = refusal(datasets)
    assert (found.code, found.sentence) == ("not-an-image", "instance 7 of 8 holds no image")


def test_no_slice_and_one_slice_are_no_volume() -> None:
    assert refusal([]).code == "empty-series"
    assert refusal(plain()[:1]).code == "single-slice"


def test_a_sentence_never_holds_what_the_file_holds() -> None:
    stack = Stack(orientation=AXIAL)
    stack = replace(stack, description="KANARIE")
    datasets = plain(stack)
    datasets[2].PixelSpacing = None
    found = refusal(datasets)
    for secret in ("KANARIE", "Testesen", "0101011234", str(datasets[2].SOPInstanceUID)):
        assert secret not in str(found)
