"""Every kind of place under every shipped profile, and references that still lead somewhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from every import every
from factories import Patient, Stack, make_datasets, series_of
from planted import PLACES, Planted, planted
from planted_bases import rt_structures, segmentation
from pydicom.dataset import Dataset

from clic_edge.deid import BASIC, DeidKey, deidentify
from clic_edge.deid.profile import load_profile
from clic_edge.domain.study import Instance, Series
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from pathlib import Path

    from clic_edge.deid.profile import Profile

PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")
KEPT_BY_OPTION = {
    "research": {"station", "device serial number"},
    "monitoring": {"station", "device serial number", "calibration date"},
}
"""What retain_device_identity is there to keep."""


@pytest.fixture(scope="module")
def files() -> dict[str, Planted]:
    """Return the planted file of each kind."""
    return {one.kind: one for one in planted()}


def _clean(one: Planted, profile: Profile) -> bytes:
    series = Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id="1",
        issuer_of_patient_id="",
        instances=(Instance(content=one.content),),
    )
    return deidentify(series, profile, PSEUDONYM).instances[0].content


@pytest.mark.slow
@pytest.mark.parametrize("name", ["basic", "research", "monitoring"])
@pytest.mark.filterwarnings("ignore")
@every(PLACES)
def test_a_token_hidden_there_is_gone_or_the_file_is_held_by_name(
    kind: str, name: str, files: dict[str, Planted], root: Path
) -> None:
    one = files[kind]
    assert one.leaks(one.content), "the plant did not take"
    profile = load_profile(root / "configs" / "deid" / f"{name}.toml")
    if one.group == "kept text":
        with pytest.raises(Defect, match="is still in") as held:
            _clean(one, profile)
        assert not one.leaks(str(held.value).encode())
    elif kind not in KEPT_BY_OPTION.get(name, ()):
        assert not one.leaks(_clean(one, profile))


def test_there_are_more_than_ninety_kinds_of_place_and_no_token_stands_in_two(
    files: dict[str, Planted],
) -> None:
    assert len(PLACES) >= 90
    tokens = [one.secrets for one in files.values() if one.group != "scripts"]
    assert sum(map(len, tokens)) == len(frozenset().union(*tokens))


def test_references_from_one_series_to_another_still_resolve() -> None:
    stack = Stack(patient=Patient(), modality="CT")
    images = make_datasets(stack, np.zeros((3, 8, 8), np.int16))
    segments, structures = segmentation(stack), rt_structures(stack)
    for number, ds in ((2, segments), (3, structures)):
        ds.SeriesInstanceUID = f"{stack.patient.uid_root}.{number}"
        ds.SOPInstanceUID = f"{ds.SeriesInstanceUID}.1"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    segments.ReferencedSeriesSequence = [_series_reference(images)]
    structures.ReferencedFrameOfReferenceSequence = [_structure_reference(images)]
    cleaned = [_datasets(series) for series in (images, [segments], [structures])]
    (image, *others), (segments,), (structures,) = cleaned
    group = segments.ReferencedSeriesSequence[0]
    assert group.SeriesInstanceUID == image.SeriesInstanceUID
    frame = structures.ReferencedFrameOfReferenceSequence[0]
    assert frame.FrameOfReferenceUID == image.FrameOfReferenceUID
    study = frame.RTReferencedStudySequence[0]
    assert study.ReferencedSOPInstanceUID == image.StudyInstanceUID
    series = study.RTReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == image.SeriesInstanceUID
    uids = [one.SOPInstanceUID for one in (image, *others)]
    assert [one.ReferencedSOPInstanceUID for one in group.ReferencedInstanceSequence] == uids
    assert [one.ReferencedSOPInstanceUID for one in series.ContourImageSequence] == uids
    assert segments.SOPInstanceUID not in {*uids, structures.SOPInstanceUID}


def _series_reference(images: list[Dataset]) -> Dataset:
    group = Dataset()
    group.SeriesInstanceUID = images[0].SeriesInstanceUID
    group.ReferencedInstanceSequence = [_reference(one) for one in images]
    return group


def _structure_reference(images: list[Dataset]) -> Dataset:
    frame, study, series = Dataset(), Dataset(), Dataset()
    frame.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = images[0].StudyInstanceUID
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ContourImageSequence = [_reference(one) for one in images]
    study.RTReferencedSeriesSequence, frame.RTReferencedStudySequence = [series], [study]
    return frame


def _reference(image: Dataset) -> Dataset:
    one = Dataset()
    one.ReferencedSOPClassUID = image.SOPClassUID
    one.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return one


def _datasets(series: list[Dataset]) -> list[Dataset]:
    clean = deidentify(series_of(series), BASIC, PSEUDONYM)
    return [pydicom.dcmread(io.BytesIO(one.content)) for one in clean.instances]
