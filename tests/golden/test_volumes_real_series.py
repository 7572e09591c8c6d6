"""What becomes of every real series: a volume, or a refusal by name."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pydicom
import pytest
from factories import file_bytes

from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.pixels import PixelSource
from clic_edge.dicom.policy import VolumePolicy
from clic_edge.dicom.reading import read_to_pixels
from clic_edge.dicom.volumes import build_volume
from clic_edge.domain.clean import CleanInstance, CleanSeries
from clic_edge.errors import ClicEdgeError, Defect, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from clic_edge.domain.volume import Volume

STRICT = VolumePolicy()
SHEAR = VolumePolicy(gantry_tilt="shear")
FIRST = VolumePolicy(volumes="first")
LAST = VolumePolicy(volumes="last")
LARGEST = VolumePolicy(orientations="largest")

# Glob below dicom/, policy, shape, spacing in mm (slices, rows, columns), type of the voxels.
ACCEPTED = [
    ("ct-torso-siemens-j2k/image/*", STRICT, (20, 512, 512), (2.0, 0.9766, 0.9766), "int16"),
    ("mr-abdomen-pseudo-phi/*", STRICT, (26, 256, 256), (9.6, 1.3672, 1.3672), "int16"),
    ("mr-brain-oblique-ge/*", STRICT, (20, 256, 256), (6.9993, 0.8594, 0.8594), "int16"),
    ("mr-brain-study3/11-T1post-18670/*", STRICT, (22, 320, 280), (6.5, 0.6875, 0.6875), "int16"),
    ("mr-brain-study3/11_HCropVolume/*", STRICT, (40, 50, 34), (1.0, 1.0, 1.0), "int16"),
    ("mr-enhanced/BRTUM009.dcm", STRICT, (20, 256, 256), (6.0, 0.8203, 0.8203), "int16"),
    ("mr-enhanced/philips_1901*", STRICT, (40, 96, 96), (4.0, 2.5, 2.5), "float32"),
    ("mr-enhanced/philips_IM*", FIRST, (32, 64, 64), (4.0, 4.0, 4.0), "float32"),
    ("mr-enhanced/siemens_XA10*", FIRST, (6, 64, 64), (2.4, 3.375, 3.375), "int16"),
    ("mr-enhanced/siemens_XA10*_2.dcm", STRICT, (6, 64, 64), (2.4, 3.375, 3.375), "int16"),
    ("mr-philips-classic-3dpcasl/*", STRICT, (40, 96, 96), (4.0, 2.5, 2.5), "float32"),
    ("mr-prostate-siemens-skyra/adc/*", STRICT, (19, 128, 84), (3.0, 2.0, 2.0), "int16"),
    ("mr-prostate-siemens-skyra/dwi/*", FIRST, (19, 128, 84), (3.0, 2.0, 2.0), "int16"),
    ("mr-prostate-siemens-skyra/pdref/*", STRICT, (16, 128, 128), (3.0, 1.5, 1.5), "int16"),
    ("mr-prostate-siemens-skyra/t2tra/*", STRICT, (19, 384, 384), (3.0, 0.5, 0.5), "int16"),
    ("mr-4d-epi-ge/*", LAST, (15, 64, 64), (5.0, 3.75, 3.75), "int16"),
    ("pt-wholebody-ge/image/*", STRICT, (267, 128, 128), (3.2699, 4.6875, 4.6875), "float32"),
]

REFUSED = [
    ("ct-head-ge-tilt18.5/*", STRICT, "gantry-tilt", "leans 18.5 degrees"),
    ("ct-head-ge-tilt18.5/*", SHEAR, "uneven-spacing", "from 1.08 to 7.00 mm apart"),
    ("mr-4d-epi-ge/*", STRICT, "several-volumes", "15 positions holds 3 slices"),
    ("mr-enhanced/philips_IM*", STRICT, "several-volumes", "told apart by image type"),
    ("mr-enhanced/siemens_XA10*", STRICT, "several-volumes", "told apart by temporal position"),
    ("mr-localizer-3planes-siemens/*", STRICT, "mixed-orientations", "3 orientations (5, 5, 3)"),
    ("mr-localizer-3planes-siemens/*", LARGEST, "mixed-orientations", "3 orientations"),
    ("mr-missing-slice-siemens/*", STRICT, "missing-slices", "1 missing, the first after slice 13"),
    ("mr-mosaic-siemens/*", STRICT, "mosaic", "instance 1 of 4 is a mosaic"),
    ("mr-prostate-siemens-skyra/dwi/*", STRICT, "several-volumes", "19 positions holds 3 slices"),
    ("mr-uih-dwi/*", STRICT, "missing-geometry", "lacks Image Position (0020,0032)"),
    ("pt-wholebody-ge/rtstruct/*", STRICT, "not-an-image", "holds no image"),
    ("phi-burned-in/ct_*", STRICT, "single-slice", "one slice"),
    ("phi-burned-in/pt_fusion*", STRICT, "not-monochrome", "not a monochrome image"),
    ("phi-burned-in/nm_*", STRICT, "unsupported-object", "neither a CT, nor an MR"),
    ("seg-sr/highdicom/seg_image_ct_binary.dcm", STRICT, "unsupported-object", "neither a CT"),
    ("modalities/us_mindray*", STRICT, "not-monochrome", "not a monochrome image"),
    ("transfer-syntaxes/emri_small.dcm", STRICT, "missing-geometry", "frames have no positions"),
]

# Largest difference to the reference, by transfer syntax; the data set's README names them.
WITHIN = {
    "1.2.840.10008.1.2.1.99": 0,
    "1.2.840.10008.1.2.4.57": 0,
    "1.2.840.10008.1.2.4.70": 0,
    "1.2.840.10008.1.2.4.80": 0,
    "1.2.840.10008.1.2.4.81": 1,
    "1.2.840.10008.1.2.4.90": 0,
    "1.2.840.10008.1.2.4.91": 5,
    "1.2.840.10008.1.2.5": 0,
}


def clean(contents: list[bytes]) -> CleanSeries:
    return CleanSeries(
        subject_id="subject",
        series_uid="2.25.1",
        instances=tuple(CleanInstance(content=content) for content in contents),
    )


def build(test_data: Path, pattern: str, policy: VolumePolicy = STRICT) -> Volume:
    files = sorted(path for path in (test_data / "dicom").glob(pattern) if path.suffix != ".csv")
    assert files
    return build_volume(clean([path.read_bytes() for path in files]), policy)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "policy", "shape", "spacing", "dtype"), ACCEPTED, ids=[row[0] for row in ACCEPTED]
)
def test_a_plain_series_becomes_a_volume(
    test_data: Path,
    pattern: str,
    policy: VolumePolicy,
    *,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    dtype: str,
) -> None:
    volume = build(test_data, pattern, policy)
    assert volume.voxels.shape == volume.geometry.shape == shape
    assert volume.geometry.spacing_mm == pytest.approx(spacing, abs=1e-4)
    assert volume.voxels.dtype == dtype
    assert len({(one.instance_index, one.frame_number) for one in volume.slices}) == shape[0]


@pytest.mark.parametrize(
    ("pattern", "policy", "code", "words"), REFUSED, ids=[f"{row[0]}:{row[2]}" for row in REFUSED]
)
def test_any_other_series_is_refused_by_name(
    test_data: Path, pattern: str, policy: VolumePolicy, *, code: str, words: str
) -> None:
    with pytest.raises(Refusal) as caught:
        build(test_data, pattern, policy)
    assert caught.value.code == code
    assert words in caught.value.sentence


def test_every_series_folder_stands_in_a_table(test_data: Path) -> None:
    named = {row[0].rsplit("/", 1)[0] for row in [*ACCEPTED, *REFUSED]}
    folders = {
        path.parent.relative_to(test_data / "dicom") for path in test_data.glob("dicom/**/*.dcm")
    }
    single_files = {"odd", "charset", "seg-sr", "sm-wholeslide", "modalities", "transfer-syntaxes"}
    series = {str(folder) for folder in folders if folder.parts[0] not in single_files}
    assert series <= named


def test_classic_and_enhanced_versions_of_one_scan_are_the_same_volume(test_data: Path) -> None:
    classic = build(test_data, "mr-philips-classic-3dpcasl/*")
    enhanced = build(test_data, "mr-enhanced/philips_1901*")
    assert np.array_equal(classic.voxels, enhanced.voxels)
    assert np.abs(classic.geometry.affine - enhanced.geometry.affine).max() < 1e-3


def test_the_volumes_of_a_series_are_those_of_its_parts(test_data: Path) -> None:
    first = build(test_data, "mr-enhanced/siemens_XA10*", FIRST)
    alone = build(test_data, "mr-enhanced/siemens_XA10*_1.dcm")
    assert np.array_equal(first.voxels, alone.voxels)


def test_the_first_diffusion_volume_is_that_of_the_lowest_b_value(test_data: Path) -> None:
    folder = test_data / "dicom" / "mr-prostate-siemens-skyra" / "dwi"
    files = sorted(folder.glob("*.dcm"))
    volume = build(test_data, "mr-prostate-siemens-skyra/dwi/*", FIRST)
    names = {
        pydicom.dcmread(files[one.instance_index], stop_before_pixels=True).SequenceName
        for one in volume.slices
    }
    assert names == {"*ep_b50t"}


@pytest.mark.slow
def test_a_volume_lies_where_another_reader_puts_it(test_data: Path) -> None:
    volume = build(test_data, "ct-torso-siemens-j2k/image/*")
    mask = nibabel.load(test_data / "dicom/ct-torso-siemens-j2k/example_seg_dicom.nii.gz")
    slices, rows, columns = volume.geometry.shape
    assert mask.shape == (columns, rows, slices)
    # NIfTI counts columns first and points to the right and front; here is LPS.
    corners = np.array([(s, r, c, 1) for s in (0, slices) for r in (0, rows) for c in (0, columns)])
    lps = volume.geometry.affine @ corners.T
    inverse = np.linalg.inv(mask.affine) @ np.diag([-1, -1, 1, 1])
    found = np.sort((inverse @ lps)[:3], axis=1)
    whole = [sorted([0, size] * 4) for size in mask.shape]
    flipped = [sorted([-1, size - 1] * 4) for size in mask.shape]
    for axis in range(3):
        assert any(
            np.allclose(found[axis], ends, atol=1e-2) for ends in (whole[axis], flipped[axis])
        )


def above_the_reference(folder: Path, name: str) -> Volume:
    """Return a volume of two slices: the reference, and above it the same image from a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = pydicom.dcmread(folder / "ctimage_reference_implicit.dcm")
    reference.ImagePositionPatient[2] -= 5
    reference.SOPInstanceUID = reference.file_meta.MediaStorageSOPInstanceUID = "2.25.3"
    return build_volume(clean([file_bytes(reference), (folder / name).read_bytes()]), STRICT)


@pytest.mark.parametrize(("syntax", "within"), WITHIN.items())
def test_compressed_pixels_decode_to_the_reference(
    test_data: Path, syntax: str, within: int
) -> None:
    folder = test_data / "dicom" / "transfer-syntaxes"
    volume = above_the_reference(folder, f"ctimage_{syntax}.dcm")
    assert volume.voxels.dtype == np.int16
    reference, decoded = volume.voxels.astype(np.int32)
    assert np.abs(decoded - reference).max() <= within
    assert np.ptp(decoded) > 2000


def test_retired_syntaxes_are_a_defect(test_data: Path) -> None:
    folder = test_data / "dicom" / "transfer-syntaxes"
    for syntax in ("1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"):
        with pytest.raises(Defect) as caught:
            above_the_reference(folder, f"ctimage_{syntax}.dcm")
        assert caught.value.code == "undecodable-pixels"
        assert caught.value.sentence == "instance 2 of 2: the pixels cannot be decoded"


def test_enhanced_pixels_are_the_same_in_every_syntax(test_data: Path) -> None:
    folder = test_data / "dicom" / "transfer-syntaxes"
    native = stored_frames(folder / "emri_small.dcm")
    assert native.shape == (10, 64, 64)
    for name in ("RLE", "big_endian", "jpeg_2k_lossless", "jpeg_ls_lossless"):
        assert np.array_equal(stored_frames(folder / f"emri_small_{name}.dcm"), native)


def stored_frames(path: Path) -> NDArray[np.integer]:
    header = read_to_pixels(path.read_bytes(), "the instance")
    attributes = Attributes(dataset=header.dataset, where="the instance")
    return PixelSource(
        content=path.read_bytes(), attributes=attributes, pixels_at=header.end
    ).frames()


@pytest.mark.slow
def test_nothing_but_our_own_errors_comes_out_of_odd_files(test_data: Path) -> None:
    names = ("odd", "charset", "seg-sr", "sm-wholeslide", "modalities", "phi-burned-in")
    files = [path for name in names for path in sorted((test_data / "dicom" / name).rglob("*.*"))]
    assert len(files) > 150
    for path in files:
        with contextlib.suppress(ClicEdgeError):
            build_volume(clean([path.read_bytes()]), STRICT)
        with contextlib.suppress(ClicEdgeError):
            stored_frames(path)
