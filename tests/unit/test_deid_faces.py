"""A volume that could be rendered to a face is held where the profile asks; others are not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pydicom
import pytest
from factories import Stack, make_datasets, series_of
from heads import volume_of
from pydicom.uid import RTDoseStorage
from scipy import ndimage

from clic_edge.deid import BASIC, DeidKey, Profile, deidentify
from clic_edge.deid.upright import upright
from clic_edge.domain.study import Instance, Series
from clic_edge.domain.volume import Geometry
from clic_edge.errors import ClicEdgeError, Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

HOLD = Profile(name="hold", faces="hold")
PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")
STEP = 3.0
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def phantom(width: float = 150.0, depth: float = 190.0, field: float = 240.0) -> NDArray[np.int16]:
    """Return an upright ellipsoid of tissue in air, shape (feet to head, front to back, right to left)."""
    grid = (np.arange(int(field / STEP)) + 0.5) * STEP - field / 2
    z, y, x = np.meshgrid(grid, grid, grid, indexing="ij")
    inside = (x / width) ** 2 + (y / depth) ** 2 + (z / 230) ** 2 < 0.25
    return np.where(inside, 500, 3).astype(np.int16)


def datasets(voxels: NDArray[np.int16], **changes: object) -> list[Dataset]:
    stack = Stack(
        pixel_spacing=(STEP, STEP), slice_step=STEP, origin=(-120.0, -120.0, -120.0), description=""
    )
    made = make_datasets(replace(stack, **changes), voxels)  # type: ignore[arg-type]
    for ds in made:
        ds.BodyPartExamined = ""
        ds.StudyDescription = ""
    return made


def is_held(made: list[Dataset], profile: Profile = HOLD) -> bool:
    return _is_held(series_of(made), profile)


def _is_held(series: Series, profile: Profile = HOLD) -> bool:
    try:
        deidentify(series, profile, PSEUDONYM)
    except Refusal as error:
        if error.code != "face-visible":
            raise
        return True
    return False


def test_a_head_with_air_before_it_is_held_without_being_called_one() -> None:
    assert is_held(datasets(phantom()))


def test_a_head_is_let_through_where_pixels_stay_on_the_appliance() -> None:
    assert not is_held(datasets(phantom()), BASIC)


def test_a_head_in_computed_tomography_is_held() -> None:
    hounsfield = np.where(phantom() > 100, 40, -1000).astype(np.int16)
    assert is_held(datasets(hounsfield, modality="CT"))


def test_a_head_in_sagittal_slices_is_held() -> None:
    # Slices right to left, rows head to feet, columns front to back.
    voxels = np.ascontiguousarray(phantom().transpose(2, 0, 1)[:, ::-1])
    stack = {"orientation": SAGITTAL, "origin": (120.0, -120.0, 120.0)}
    assert is_held(datasets(voxels, **stack))


def test_slices_in_any_order_are_held() -> None:
    made = datasets(phantom())
    assert is_held(made[::2] + made[1::2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("voxels", "why"),
    [
        (phantom(width=360, depth=230, field=400), "a trunk"),
        (phantom()[:, 22:], "the front is not in the field of view"),
        (phantom(field=75), "the field of view holds no face"),
        (phantom()[60:], "the crown alone"),
        (np.full((40, 80, 80), 500, np.int16), "no air at all"),
    ],
)
def test_what_shows_no_face_is_let_through(voxels: NDArray[np.int16], why: str) -> None:
    assert not is_held(datasets(voxels)), why


def test_thick_slices_render_no_face() -> None:
    assert not is_held(datasets(phantom()[::2], slice_step=2 * STEP))


def test_a_slice_that_comes_alone_is_held_where_it_is_called_a_head() -> None:
    (ds,) = datasets(phantom()[40:41, 22:])  # cut, so that only the word tells
    assert not is_held([ds])
    ds.BodyPartExamined = "HEAD"
    assert is_held([ds])


def test_a_slice_that_comes_alone_is_held_where_it_could_be_of_a_head() -> None:
    assert is_held(datasets(phantom()[40:41]))
    assert not is_held(datasets(phantom(width=360, depth=230, field=400)[60:61]))


def test_a_sagittal_slice_alone_is_held_unless_it_is_called_something_else() -> None:
    voxels = np.ascontiguousarray(phantom().transpose(2, 0, 1)[40:41, ::-1])
    (ds,) = datasets(voxels, orientation=SAGITTAL)
    assert is_held([ds])
    ds.SeriesDescription = "MPRAGE SAG"
    ds.BodyPartExamined = "WHOLEBODY"
    assert is_held([ds])
    ds.BodyPartExamined = "PROSTATE"
    assert not is_held([ds])


@pytest.mark.slow
def test_thin_slices_that_form_no_volume_are_held() -> None:
    made = datasets(phantom())
    assert is_held(made[:30] + made[33:])


@pytest.mark.slow
def test_a_trunk_with_a_slice_missing_is_let_through_for_none_of_its_slices_is_of_a_head() -> None:
    trunk = phantom(width=360, depth=230, field=400)[60:61].repeat(40, axis=0)
    made = datasets(trunk)
    assert not is_held(made[:20] + made[23:])


def test_a_head_is_not_hidden_by_an_object_that_is_no_slice() -> None:
    made = datasets(phantom())
    (dose,) = datasets(phantom()[:1])
    dose.SOPClassUID = dose.file_meta.MediaStorageSOPClassUID = RTDoseStorage
    assert not is_held([dose])
    assert is_held([dose, *made])


@pytest.mark.slow
def test_a_head_is_not_hidden_by_another_volume_at_the_same_place() -> None:
    phase = datasets(np.full_like(phantom(), 500))
    magnitude = datasets(phantom())
    for number, ds in enumerate(magnitude, len(phase) + 1):
        ds.ImageType, ds.InstanceNumber = ["ORIGINAL", "PRIMARY", "M"], number
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ds.SOPInstanceUID}.2"
    assert not is_held(phase)
    assert is_held(phase + magnitude)


@pytest.mark.parametrize("degrees", [-25.0, 0.0, 25.0])
def test_a_slice_alone_is_measured_however_the_gantry_leans(degrees: float) -> None:
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    leaning = {"orientation": (1.0, 0.0, 0.0, 0.0, float(cosine), float(sine))}
    assert is_held(datasets(phantom()[40:41], **leaning))
    assert not is_held(datasets(phantom(width=360, depth=230, field=400)[60:61], **leaning))


def test_planes_that_are_all_the_same_are_smoothed_as_any_others() -> None:
    values = np.random.default_rng(3).normal(size=(1, 20, 21)).astype(np.float32)
    same = values.repeat(4, axis=0)
    geometry = Geometry(affine=np.eye(4)[[2, 1, 0, 3]], shape=same.shape)
    volume = replace(volume_of(datasets(phantom()[40:44])), voxels=same, geometry=geometry)
    grid = upright(volume, 1.0)
    expected = ndimage.median_filter(same, 3)
    assert np.array_equal(grid.values, expected)


@pytest.mark.slow
def test_a_real_head_is_held_and_its_hippocampus_not(test_data: Path) -> None:
    voxels = np.asarray(nibabel.load(test_data / "models" / "t1_crop.nii.gz").dataobj)[
        ::2, ::2, ::2
    ]
    upright = np.ascontiguousarray(voxels.transpose(1, 2, 0)[::-1, ::-1]).astype(np.int16)
    stack = {"pixel_spacing": (2.0, 2.0), "slice_step": 2.0, "origin": (-127.0, -122.0, -120.0)}
    assert is_held(datasets(upright, **stack))
    crop = upright[60:80, 55:75, 40:60]
    assert not is_held(datasets(np.ascontiguousarray(crop), **stack))


REAL = {
    "ct-head-ge-tilt18.5": {"passes"},  # slices of 4 and 7 mm
    "mr-brain-oblique-ge": {"passes"},  # of 7 mm
    "mr-brain-study3": {"passes"},  # of 6.5 mm, and a crop of 5 cm
    "mr-abdomen-pseudo-phi": {"passes"},
    "mr-prostate-siemens-skyra": {"passes"},
    "mr-mosaic-siemens": {"face-visible"},  # 3 mm slices tiled in one image
    "mr-uih-dwi": {"face-visible"},  # no positions, so that nothing can be told
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_series_are_held_or_not(test_data: Path, name: str) -> None:
    by_series: dict[str, list[bytes]] = {}
    for path in sorted((test_data / "dicom" / name).rglob("*.dcm")):
        uid = pydicom.dcmread(path, specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID
        by_series.setdefault(uid, []).append(path.read_bytes())
    outcomes = set()
    for contents in by_series.values():
        series = Series(
            study_instance_uid="1.2",
            series_instance_uid="1.2.3",
            patient_id="1",
            issuer_of_patient_id="",
            instances=tuple(Instance(content=content) for content in contents),
        )
        try:
            outcomes.add("face-visible" if _is_held(series) else "passes")
        except ClicEdgeError as error:
            outcomes.add(error.code)
    assert outcomes == REAL[name]
