"""What holds for a folder as archive and as destination, beyond the contracts."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from factories import CANARY, Patient, Stack, file_bytes, make_datasets, make_slice, ramp
from pydicom.dataset import Dataset
from results_in_code import make_result

from clic_edge.errors import Refusal
from clic_edge.pacs.folder import FolderArchive, FolderDestination

if TYPE_CHECKING:
    from pathlib import Path


def _write(folder: Path, stack: Stack, count: int = 2) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, ds in enumerate(make_datasets(stack, ramp((count, 4, 4)))):
        path = folder / f"{number}.dcm"
        path.write_bytes(file_bytes(ds))
        paths.append(path)
    return paths


def test_several_studies_and_folders_are_told_apart(tmp_path: Path) -> None:
    _write(tmp_path / "a" / "deep", Stack())
    _write(tmp_path / "b", Stack(series_number=2), count=3)
    _write(tmp_path / "c", Stack(patient=CANARY))
    archive = FolderArchive(tmp_path)
    counts = [
        [series.number_of_instances for series in archive.study(study_id).series]
        for study_id in archive.study_ids
    ]
    assert counts == [[2, 3], [2]]


def test_one_study_uid_under_two_patients_is_two_studies(tmp_path: Path) -> None:
    _write(tmp_path / "a", Stack())
    _write(tmp_path / "b", Stack(patient=replace(Patient(), patient_id="another")))
    assert len(FolderArchive(tmp_path).study_ids) == 2


def test_a_folder_does_not_grow(tmp_path: Path) -> None:
    _write(tmp_path, Stack())
    archive = FolderArchive(tmp_path)
    assert archive.study(archive.study_ids[0]).seconds_since_last_instance == math.inf


def test_a_folder_without_dicom_holds_no_study(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    (tmp_path / "empty").touch()
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    archive = FolderArchive(tmp_path)
    assert (archive.study_ids, archive.unreadable) == ((), ())


def test_a_file_that_looks_like_dicom_and_is_not_readable_is_named(tmp_path: Path) -> None:
    whole = _write(tmp_path, Stack())[0].read_bytes()
    cut, empty, prefix = tmp_path / "cut.bin", tmp_path / "empty.DCM", tmp_path / "prefix"
    cut.write_bytes(whole[:400])
    empty.touch()
    prefix.write_bytes(bytes(128) + b"DICM" + b"garbage" * 9)
    archive = FolderArchive(tmp_path)
    assert archive.unreadable == (cut, empty, prefix)
    assert len(archive.study_ids) == 1


def test_a_file_that_ends_within_its_pixels_is_fetched_as_it_is(tmp_path: Path) -> None:
    path = _write(tmp_path, Stack(), count=1)[0]
    path.write_bytes(path.read_bytes()[:-7])
    archive = FolderArchive(tmp_path)
    (series,) = archive.study(archive.study_ids[0]).series
    (instance,) = archive.series(series.series_id).instances
    assert instance.content == path.read_bytes()
    assert archive.unreadable == ()


def test_a_copy_of_a_file_is_the_same_instance(tmp_path: Path) -> None:
    shutil.copy(_write(tmp_path, Stack(), count=1)[0], tmp_path / "copy")
    archive = FolderArchive(tmp_path)
    (series,) = archive.study(archive.study_ids[0]).series
    assert series.number_of_instances == 1


def test_a_dataset_without_the_part_10_prefix_is_found(tmp_path: Path) -> None:
    ds = make_slice(Stack(), ramp((1, 4, 4))[0], 0)
    del ds.file_meta
    ds.save_as(tmp_path / "old", implicit_vr=True, little_endian=True)
    archive = FolderArchive(tmp_path)
    (series,) = archive.study(archive.study_ids[0]).series
    assert archive.series(series.series_id).patient_id == Patient().patient_id


def test_the_slice_thickness_of_an_enhanced_object_is_found(tmp_path: Path) -> None:
    measures, groups = Dataset(), Dataset()
    measures.SliceThickness = "2.4"
    groups.PixelMeasuresSequence = [measures]
    ds = make_slice(Stack(), ramp((1, 4, 4))[0], 0)
    del ds.SliceThickness
    ds.PerFrameFunctionalGroupsSequence = [groups, Dataset()]
    (tmp_path / "enhanced.dcm").write_bytes(file_bytes(ds))
    archive = FolderArchive(tmp_path)
    assert archive.study(archive.study_ids[0]).series[0].slice_thickness_mm == 2.4


def test_a_file_that_vanishes_is_refused_by_name(tmp_path: Path) -> None:
    path = _write(tmp_path, Stack(), count=1)[0]
    archive = FolderArchive(tmp_path)
    (series,) = archive.study(archive.study_ids[0]).series
    path.unlink()
    for ask in (
        lambda: archive.study(archive.study_ids[0]),
        lambda: archive.series(series.series_id),
    ):
        with pytest.raises(Refusal) as caught:
            ask()
        assert caught.value.code == "study-gone"


def test_results_are_named_by_kind_and_nothing_half_written_stays(tmp_path: Path) -> None:
    result = make_result()
    FolderDestination("out", tmp_path).deliver([result])
    (path,) = tmp_path.iterdir()
    assert path.name == f"SEG-{result.sop_instance_uid}.dcm"
    assert path.read_bytes() == result.content


def test_every_real_file_is_in_a_series_or_named(test_data: Path) -> None:
    archive = FolderArchive(test_data / "dicom" / "odd")
    series = [one for study_id in archive.study_ids for one in archive.study(study_id).series]
    assert (len(series), len(archive.unreadable)) == (24, 11)
    for one in series:
        assert len(archive.series(one.series_id).instances) == one.number_of_instances
