"""A face is cut away where the profile asks: outside the brain, in every slice, and looked for again."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pydicom
import pytest
from factories import Stack, make_datasets, series_of
from heads import BONE, BRAIN, EAR, EYE, NOSE, MadeHead, Pose, make_head, volume_of
from multiframe import enhanced
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
)

from clic_edge.deid import BASIC, DeidKey, Profile, deidentify
from clic_edge.deid.defacing import LEFT, look_again
from clic_edge.deid.faces import face_left
from clic_edge.deid.headmask import MARGIN_MM, cut_of, levelled
from clic_edge.deid.statement import statement
from clic_edge.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from clic_edge.deid.headmask import Cut
    from clic_edge.domain.volume import Volume

DEFACE = Profile(name="deface", faces="deface")
PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")


@pytest.fixture(scope="module")
def head() -> MadeHead:
    return make_head("CT")


@pytest.fixture(scope="module")
def cut_head(head: MadeHead) -> tuple[Volume, Cut]:
    """Return the head as it looks ahead, and what is cut from it."""
    volume = levelled(volume_of(head.datasets))
    return volume, cut_of(volume)


def cleaned(datasets: list[Dataset], profile: Profile = DEFACE) -> list[Dataset]:
    clean = deidentify(series_of(datasets), profile, PSEUDONYM)
    return [pydicom.dcmread(io.BytesIO(one.content)) for one in clean.instances]


def pixels(datasets: list[Dataset]) -> NDArray[np.integer]:
    return np.stack([ds.pixel_array for ds in datasets])


def codes(ds: Dataset) -> set[str]:
    return {item.CodeValue for item in ds.DeidentificationMethodCodeSequence}


def why_held(datasets: list[Dataset]) -> str:
    with pytest.raises(Refusal) as raised:
        deidentify(series_of(datasets), DEFACE, PSEUDONYM)
    assert raised.value.code == "face-visible"
    return raised.value.sentence


@pytest.fixture(scope="module")
def defaced(head: MadeHead) -> list[Dataset]:
    return cleaned(head.datasets)


def check_cut(made: MadeHead, after: list[Dataset]) -> None:
    changed = pixels(after) != pixels(made.datasets)
    assert not changed[made.truth == BRAIN].any()
    assert changed[made.truth == NOSE].all()
    assert changed[made.truth == EYE].mean() > 0.9
    assert changed[made.truth == EAR].mean() > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("contrast", ["T1", "T2"])
def test_nose_eyes_and_ears_go_and_the_brain_stays(contrast: str) -> None:
    made = make_head(contrast)
    check_cut(made, cleaned(made.datasets))


@pytest.mark.slow
def test_of_a_head_in_computed_tomography_the_same_goes_and_stays(
    head: MadeHead, defaced: list[Dataset]
) -> None:
    check_cut(head, defaced)


@pytest.mark.slow
def test_every_slice_says_that_the_face_is_gone_also_one_of_the_trunk_that_stays() -> None:
    head = make_head("CT", below_mm=300.0)
    after = cleaned(head.datasets)
    assert all("113102" in codes(ds) for ds in after)
    assert {ds.RecognizableVisualFeatures for ds in after} == {"NO"}
    assert after[0].PixelData == head.datasets[0].PixelData
    assert after[80].PixelData != head.datasets[80].PixelData


@pytest.mark.slow
def test_what_is_removed_is_air_and_no_other_attribute_changes(
    head: MadeHead, defaced: list[Dataset]
) -> None:
    after = defaced
    changed = pixels(after) != pixels(head.datasets)
    assert set(np.unique(pixels(after)[changed])) == {-1000}
    plain = cleaned(head.datasets, BASIC)
    for one, other in zip(plain, after, strict=True):
        kept = {"PixelData", "DeidentificationMethod", "DeidentificationMethodCodeSequence"}
        for element in one:
            assert element.keyword in kept or element == other[element.tag]


def test_a_face_is_not_claimed_to_be_gone_where_there_was_none() -> None:
    made = make_head("CT", spacing=(5.0, 2.5, 2.5))  # too thick for a face to be rendered
    after = cleaned(made.datasets)
    assert np.array_equal(pixels(after), pixels(made.datasets))
    assert not any("113102" in codes(ds) or "RecognizableVisualFeatures" in ds for ds in after)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("syntax", "written"),
    [
        (RLELossless, ExplicitVRLittleEndian),
        (DeflatedExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian),
    ],
)
def test_twelve_bits_and_any_syntax_are_written_as_they_are_read(syntax: str, written: str) -> None:
    made = make_head("CT", intercept=-1024.0)
    for ds in made.datasets:
        stored = np.clip(ds.pixel_array, 0, 4095).astype(np.uint16)
        ds.PixelRepresentation, ds.BitsStored, ds.HighBit = 0, 12, 11
        ds.PhotometricInterpretation = "MONOCHROME1"
        ds.PixelData = stored.tobytes()
    before = pixels(made.datasets)
    for ds in made.datasets:
        if syntax == RLELossless:
            ds.compress(syntax, encoding_plugin="pydicom")
        ds.file_meta.TransferSyntaxUID = syntax
    after = cleaned(made.datasets)
    changed = pixels(after) != before
    cut = changed.any(axis=(1, 2))
    assert changed[made.truth == NOSE].all()
    assert not changed[made.truth == BRAIN].any()
    assert set(np.unique(pixels(after)[changed])) == {24}
    assert {
        ds.file_meta.TransferSyntaxUID for ds, is_cut in zip(after, cut, strict=True) if is_cut
    } == {written}
    assert {(ds.BitsStored, ds.HighBit, ds.PixelRepresentation) for ds in after} == {(12, 11, 0)}


@pytest.mark.slow
def test_the_frames_of_one_enhanced_instance_are_cut_each_by_its_own_rescale() -> None:
    made = make_head("T1")
    before = pixels(made.datasets)
    multi = enhanced(made.datasets)
    for number, groups in enumerate(multi.PerFrameFunctionalGroupsSequence):
        (rescale,) = groups.PixelValueTransformationSequence
        rescale.RescaleSlope, rescale.RescaleIntercept = 2.0, -float(number)
    offsets = np.arange(len(before))[:, None, None]
    multi.PixelData = ((before + offsets) // 2).astype(np.int16).tobytes()
    stored = multi.pixel_array
    (after,) = cleaned([multi])
    changed = after.pixel_array != stored
    assert "113102" in codes(after)
    assert changed[made.truth == NOSE].all()
    assert not changed[made.truth == BRAIN].any()
    air = (after.pixel_array * 2 - offsets)[made.truth == NOSE]
    assert np.ptp(air) <= 2


def test_the_statement_says_under_which_code_faces_go() -> None:
    assert "113102" in statement(DEFACE)
    assert "113102" not in statement(replace(DEFACE, faces="hold"))


@pytest.mark.slow
def test_the_margin_is_kept_and_the_nod_of_the_head_is_followed() -> None:
    made = make_head("T1", Pose(nod=25.0))
    head = levelled(volume_of(made.datasets))
    cut = cut_of(head)
    steps, start = head.geometry.affine[:3, :3], head.geometry.affine[:3, 3]
    brain = np.argwhere(made.truth == BRAIN) @ steps.T + start
    beyond = cut.offsets_mm - (brain @ cut.normals.T).max(axis=0)
    assert beyond.min() > MARGIN_MM - 2.5
    assert cut.removed(head.geometry)[made.truth == NOSE].all()


@pytest.mark.slow
def test_the_second_look_finds_a_face_that_is_left(cut_head: tuple[Volume, Cut]) -> None:
    before, cut = cut_head
    removed = cut.removed(before.geometry)
    after = replace(before, voxels=np.where(removed, np.int16(-1000), before.voxels))
    look_again(before, after, removed=removed, cut=cut)
    assert face_left(before, after) < LEFT
    assert face_left(before, before) == 1
    without_planes = replace(cut, offsets_mm=cut.offsets_mm + 25)
    less = without_planes.removed(before.geometry)
    shown = replace(before, voxels=np.where(less, np.int16(-1000), before.voxels))
    with pytest.raises(Refusal, match="second look"):
        look_again(before, shown, removed=less, cut=without_planes)


@pytest.mark.slow
def test_a_cut_through_the_brain_is_found(cut_head: tuple[Volume, Cut]) -> None:
    before, cut = cut_head
    deeper = replace(cut, offsets_mm=cut.offsets_mm - 15).removed(before.geometry)
    after = replace(before, voxels=np.where(deeper, np.int16(-1000), before.voxels))
    with pytest.raises(Refusal, match="reaches the brain"):
        look_again(before, after, removed=deeper, cut=cut)


@pytest.mark.slow
def test_a_voxel_that_was_not_to_go_is_found(cut_head: tuple[Volume, Cut]) -> None:
    before, cut = cut_head
    removed = cut.removed(before.geometry)
    voxels = np.where(removed, np.int16(-1000), before.voxels)
    voxels[tuple(np.argwhere(~removed)[0])] += 1
    with pytest.raises(Refusal, match="reaches the brain"):
        look_again(before, replace(before, voxels=voxels), removed=removed, cut=cut)


@pytest.mark.slow
def test_a_head_that_lies_on_its_side_is_held() -> None:
    assert why_held(make_head("T1", Pose(tilt=50.0)).datasets)


@pytest.mark.slow
def test_a_head_whose_top_is_cut_off_is_held(head: MadeHead) -> None:
    assert "top of the head" in why_held(head.datasets[:-20])


@pytest.mark.slow
@pytest.mark.parametrize(("contrast", "nod"), [("CT", 20.0), ("T1", -20.0), ("T2", 20.0)])
def test_a_head_whose_headers_name_the_wrong_front_is_held(contrast: str, nod: float) -> None:
    head = volume_of(make_head(contrast, Pose(nod=nod)).datasets)
    with pytest.raises(Refusal, match="its front"):
        levelled(replace(head, voxels=head.voxels[:, ::-1]))


@pytest.mark.slow
def test_a_brain_that_is_not_enclosed_by_bone_is_held(head: MadeHead) -> None:
    before = volume_of(head.datasets)
    fluid = np.where(head.truth == BONE, np.int16(-8), before.voxels)
    with pytest.raises(Refusal, match="not enclosed by bone"):
        cut_of(levelled(replace(before, voxels=fluid)))


@pytest.mark.slow
def test_a_series_with_a_slice_beside_the_volume_is_held(head: MadeHead) -> None:
    beside = pydicom.dcmread(io.BytesIO(series_of(head.datasets[:1]).instances[0].content))
    beside.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    beside.SOPInstanceUID += ".1"
    beside.file_meta.MediaStorageSOPInstanceUID = beside.SOPInstanceUID
    assert "not every slice" in why_held([*head.datasets, beside])


def test_slices_that_come_alone_are_held_as_before(head: MadeHead) -> None:
    assert "without the others" in why_held(head.datasets[40:41])


@pytest.mark.slow
def test_a_real_head_loses_its_face(test_data: Path) -> None:
    voxels = np.asarray(nibabel.load(test_data / "models" / "t1_crop.nii.gz").dataobj)[
        ::2, ::2, ::2
    ]
    upright = np.ascontiguousarray(voxels.transpose(1, 2, 0)[::-1, ::-1]).astype(np.int16)
    stack = Stack(pixel_spacing=(2.0, 2.0), slice_step=2.0, origin=(-127.0, -122.0, -120.0))
    made = make_datasets(stack, upright)
    after = cleaned(made)
    changed = pixels(after) != upright
    before = levelled(volume_of(made))
    assert face_left(before, replace(before, voxels=pixels(after))) < LEFT
    assert not changed[60:, 40:].any()  # behind the brow, above the orbits
    assert "113102" in codes(after[0])
