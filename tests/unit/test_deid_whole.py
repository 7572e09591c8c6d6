"""Faces in folders: a series is judged, and cut, as a whole, whatever lies where and goes wrong."""

from __future__ import annotations

import shutil
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pydicom
import pytest
from factories import Stack, file_bytes, make_datasets
from heads import BRAIN, NOSE, MadeHead, make_head
from hostile_sources import KillsWhenItIsCleaned
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from clic_edge.deid import DeidKey, Profile, survey
from clic_edge.deid.batch import Order, Summary, clean_all, sources_below
from clic_edge.deid.certificate import public_key
from clic_edge.deid.file import Bench
from clic_edge.deid.verify import verify
from clic_edge.errors import Transient

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

KEY = DeidKey(b"one key of thirty-two bytes, yes")
DEFACE, HOLD = Profile(name="deface", faces="deface"), Profile(name="hold", faces="hold")
TRUNK = Stack(
    modality="CT",
    series_number=2,
    description="",
    pixel_spacing=(3.0, 3.0),
    slice_step=3.0,
    origin=(-200.0, -200.0, 0.0),
)


@pytest.fixture(scope="module")
def head() -> MadeHead:
    return make_head("CT", spacing=(3.0, 3.0, 3.0))


def trunk(slices: int = 4, **changes: object) -> list[Dataset]:
    y, x = np.mgrid[-200:200:3, -200:200:3]
    plane = np.where((x / 180) ** 2 + (y / 115) ** 2 < 1, 40, -1000).astype(np.int16)
    made = make_datasets(replace(TRUNK, **changes), np.stack([plane] * slices))  # type: ignore[arg-type]
    for ds in made:
        ds.BodyPartExamined = "ABDOMEN"
    return made


def put(folder: Path, datasets: list[Dataset], first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, ds in enumerate(datasets, first):
        (folder / f"{number:03}.dcm").write_bytes(file_bytes(ds))


def order(tmp_path: Path, profile: Profile = DEFACE, *, out: str = "out") -> Order:
    return Order(bench=Bench(profile=profile, key=KEY, out=tmp_path / out))


def run(tmp_path: Path, profile: Profile = DEFACE, *, out: str = "out") -> Summary:
    return clean_all(sources_below(tmp_path / "in"), order(tmp_path, profile, out=out), _nobody)


def _nobody(_: int) -> None:
    pass


def codes(summary: Summary) -> dict[str, int]:
    return dict(summary.held_by_code)


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.dcm")}


def written(tmp_path: Path, series_number: int = 1) -> list[Dataset]:
    """Return what was written of a series, from the lowest slice to the highest."""
    read = map(pydicom.dcmread, (tmp_path / "out").rglob("*.dcm"))
    series = [ds for ds in read if ds.SeriesNumber == series_number]
    return sorted(series, key=lambda ds: ds.ImagePositionPatient[2])


def is_defaced(ds: Dataset) -> bool:
    return "113102" in {one.CodeValue for one in ds.DeidentificationMethodCodeSequence}


def check_cut(after: list[Dataset], head: MadeHead) -> None:
    before = np.stack([ds.pixel_array for ds in head.datasets])[-len(after) :]
    changed = np.stack([ds.pixel_array for ds in after]) != before
    truth = head.truth[-len(after) :]
    assert changed[truth == NOSE].all()
    assert not changed[truth == BRAIN].any()
    assert all(map(is_defaced, after))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_head_whose_slices_lie_anywhere_is_defaced_as_a_whole_and_nothing_else_is(
    head: MadeHead, tmp_path: Path, workers: int
) -> None:
    put(tmp_path / "in" / "one", head.datasets[::2])
    put(tmp_path / "in" / "other", [*trunk(), *head.datasets[1::2]])
    through: list[int] = []
    two = replace(order(tmp_path), workers=workers)
    summary = clean_all(sources_below(tmp_path / "in"), two, through.append)
    assert summary.held == ()
    assert summary.written == sum(through) == len(head.datasets) + 4
    check_cut(written(tmp_path), head)
    assert not any(map(is_defaced, written(tmp_path, 2)))
    assert verify(tmp_path / "out", public_key(KEY)).problems == ()


@pytest.mark.slow
def test_a_head_is_held_with_all_its_slices_and_nothing_else_is(
    head: MadeHead, tmp_path: Path
) -> None:
    put(tmp_path / "in" / "one", head.datasets)
    put(tmp_path / "in" / "other", trunk())
    summary = run(tmp_path, HOLD)
    assert codes(summary) == {"face-visible": len(head.datasets)}
    assert "without the others" not in summary.held[0][1].sentence
    assert summary.written == 4


@pytest.mark.slow
def test_a_head_is_cut_also_where_another_file_ends_the_process(
    head: MadeHead, tmp_path: Path
) -> None:
    put(tmp_path / "in", head.datasets)
    sources = [KillsWhenItIsCleaned(tmp_path / "sign"), *sources_below(tmp_path / "in")]
    two = replace(order(tmp_path), workers=2)
    summary = clean_all(sources, two, _nobody)
    assert codes(summary) == {"worker-died": 1}
    check_cut(written(tmp_path), head)


@pytest.mark.slow
def test_a_slice_that_is_broken_is_held_and_the_others_are_cut_without_it(
    head: MadeHead, tmp_path: Path
) -> None:
    put(tmp_path / "in", head.datasets)
    lowest = tmp_path / "in" / "000.dcm"
    lowest.write_bytes(lowest.read_bytes()[:-20])
    summary = run(tmp_path)
    assert codes(summary) == {"unreadable-instance": 1}
    assert len(written(tmp_path)) == len(head.datasets) - 1
    check_cut(written(tmp_path), head)


@pytest.mark.slow
def test_a_slice_that_no_decoder_takes_is_held_and_the_others_are_cut_without_it(
    head: MadeHead, tmp_path: Path
) -> None:
    put(tmp_path / "in", head.datasets)
    ds = pydicom.dcmread(tmp_path / "in" / "000.dcm")
    ds.file_meta.TransferSyntaxUID = RLELossless
    ds.PixelData = encapsulate([struct.pack("<16L", 2, 64, 66, *[0] * 13) + bytes(4)])
    ds["PixelData"].VR = "OB"
    ds.save_as(tmp_path / "in" / "000.dcm")
    summary = run(tmp_path)
    assert codes(summary) == {"undecodable-pixels": 1}
    check_cut(written(tmp_path), head)


def test_a_head_with_a_gap_where_a_slice_was_broken_is_held(head: MadeHead, tmp_path: Path) -> None:
    put(tmp_path / "in", head.datasets)
    (tmp_path / "in" / "030.dcm").write_bytes(b"no DICOM")
    summary = run(tmp_path)
    assert codes(summary) == {
        "face-visible": len(head.datasets) - 1,
        "unreadable-instance": 1,
    }
    assert files(tmp_path / "out") == {}


@pytest.mark.slow
def test_a_copy_of_a_slice_is_no_other_slice_and_a_changed_one_is_held(
    head: MadeHead, tmp_path: Path
) -> None:
    put(tmp_path / "in" / "a", head.datasets)
    put(tmp_path / "in" / "b", head.datasets[20:22])
    changed = tmp_path / "in" / "b" / "001.dcm"
    changed.write_bytes(changed.read_bytes()[:-2] + bytes(2))
    summary = run(tmp_path)
    assert codes(summary) == {"duplicate-instance": 1}
    assert summary.written == len(head.datasets) + 1
    check_cut(written(tmp_path), head)


@pytest.mark.slow
def test_a_run_that_ends_within_a_head_is_finished_by_the_next_with_the_same_bytes(
    head: MadeHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "in", head.datasets)
    run(tmp_path, out="whole")
    written_one, left = Bench.written, iter(range(7))

    def until_the_disk_is_full(bench: Bench, *rest: object) -> object:
        if next(left, None) is None:
            raise Transient("out-unwritable", "The output folder takes no file: it is full.")
        return written_one(bench, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Bench, "written", until_the_disk_is_full)
    with pytest.raises(Transient):
        run(tmp_path)
    monkeypatch.undo()
    assert len(files(tmp_path / "out")) == 7
    summary = run(tmp_path)
    assert (summary.written, summary.held) == (len(head.datasets), ())
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    again = run(tmp_path)
    assert (again.written, again.skipped) == (0, len(head.datasets))
    assert verify(tmp_path / "out", public_key(KEY)).problems == ()


@pytest.mark.slow
def test_a_slice_that_is_lost_from_the_output_is_made_again_from_the_whole_head(
    head: MadeHead, tmp_path: Path
) -> None:
    put(tmp_path / "in", head.datasets)
    run(tmp_path)
    whole = files(tmp_path / "out")
    lost = tmp_path / "out" / sorted(whole)[30]
    lost.unlink()
    summary = run(tmp_path)
    assert (summary.written, summary.skipped) == (1, len(head.datasets) - 1)
    assert files(tmp_path / "out") == whole


@pytest.mark.slow
def test_a_series_that_grew_into_a_head_is_held_until_it_is_made_anew(
    head: MadeHead, tmp_path: Path
) -> None:
    put(tmp_path / "in", head.datasets[:12])  # a neck
    assert run(tmp_path).written == 12
    assert not any(map(is_defaced, written(tmp_path)))
    put(tmp_path / "in", head.datasets[12:], 12)
    summary = run(tmp_path)
    assert codes(summary) == {"series-changed": len(head.datasets) - 12}
    assert summary.skipped == 12
    (series,) = (tmp_path / "out").glob("*/*/*")
    shutil.rmtree(series)
    assert run(tmp_path).held == ()
    check_cut(written(tmp_path), head)
    assert verify(tmp_path / "out", public_key(KEY)).problems == ()


@pytest.mark.slow
def test_of_a_series_beyond_the_bound_each_slice_is_judged_alone(
    head: MadeHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "MOST_TOGETHER", 10_000)
    put(tmp_path / "in" / "one", head.datasets)
    put(tmp_path / "in" / "other", trunk())
    summary = run(tmp_path)
    held = [one for _, one in summary.held if "without the others" in one.sentence]
    assert len(held) > 40  # all but some of the neck
    assert len(written(tmp_path, 2)) == 4
    assert not any(map(is_defaced, written(tmp_path)))


def test_series_of_two_patients_with_one_uid_are_judged_apart(tmp_path: Path) -> None:
    put(tmp_path / "in" / "one", trunk())
    others = trunk(origin=(-200.0, -200.0, 1.0))
    for ds in others:
        ds.PatientID = "another"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID + ".7"
    put(tmp_path / "in" / "other", others)
    summary = run(tmp_path, HOLD)
    assert (summary.written, summary.held) == (8, ())
    assert len({ds.PatientID for ds in written(tmp_path, 2)}) == 2


@pytest.mark.slow
def test_a_real_head_in_a_folder_loses_its_face(test_data: Path, tmp_path: Path) -> None:
    voxels = np.asarray(nibabel.load(test_data / "models" / "t1_crop.nii.gz").dataobj)[
        ::2, ::2, ::2
    ]
    upright = np.ascontiguousarray(voxels.transpose(1, 2, 0)[::-1, ::-1]).astype(np.int16)
    stack = Stack(pixel_spacing=(2.0, 2.0), slice_step=2.0, origin=(-127.0, -122.0, -120.0))
    put(tmp_path / "in", make_datasets(stack, upright))
    assert run(tmp_path).held == ()
    after = written(tmp_path)
    changed = np.stack([ds.pixel_array for ds in after]) != upright
    assert all(map(is_defaced, after))
    assert changed.mean() > 0.01
    assert not changed[60:, 40:].any()  # behind the brow, above the orbits


REAL = {
    "ct-head-ge-tilt18.5": (28, 0),  # slices of 4 and 7 mm
    "mr-4d-epi-ge": (45, 0),
    "mr-localizer-3planes-siemens": (13, 0),
    "mr-missing-slice-siemens": (0, 18),  # of a pelvis, each as large as a head
    "mr-mosaic-siemens": (0, 4),
    "mr-prostate-siemens-skyra": (111, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_folders_are_held_or_not(test_data: Path, tmp_path: Path, name: str) -> None:
    summary = clean_all(
        sources_below(test_data / "dicom" / name), order(tmp_path, HOLD), lambda _: None
    )
    assert (summary.written, codes(summary).get("face-visible", 0)) == REAL[name]


def test_the_first_bytes_place_a_file_as_all_of_it_does(test_data: Path, tmp_path: Path) -> None:
    bench = order(tmp_path).bench
    sources = [
        source for source in sources_below(test_data / "dicom") if source.origin.endswith(".dcm")
    ][::7]
    short = survey.places(bench, sources, with_digests=False)
    whole = survey.places(bench, sources, with_digests=True)
    assert [one.series for one in short] == [one.series for one in whole]
    assert len({one.series for one in whole}) > 10
