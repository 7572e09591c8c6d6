from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from factories import CANARY, canary_stack, file_bytes, make_datasets, make_series, ramp, series_of
from pydicom.dataset import Dataset

from clic_edge.deid import BASIC, DeidKey, deidentify
from clic_edge.deid.clean import Removed
from clic_edge.deid.residue import ResidueCheck
from clic_edge.errors import Defect

if TYPE_CHECKING:
    from clic_edge.domain.clean import CleanSeries

PSEUDONYM = DeidKey(b"one key of thirty-two bytes, yes").pseudonym("1", "")


def _clean(**attributes: object) -> CleanSeries:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return deidentify(series_of([ds]), BASIC, PSEUDONYM)


@pytest.mark.parametrize(
    ("attributes", "came_from", "survived_in"),
    [
        ({"Manufacturer": "Works of Kanariefugl"}, "(0010,0010)", "(0008,0070)"),
        ({"ManufacturerModelName": "KANARIEFUGL"}, "(0010,0010)", "(0008,1090)"),
        ({"SoftwareVersions": ["1", "x-Zzyzx-x"]}, "(0010,0010)", "(0018,1020)"),
        ({"SoftwareVersions": CANARY.accession_number}, "(0008,0050)", "(0018,1020)"),
        ({"Manufacturer": CANARY.patient_id}, "(0010,0020)", "(0008,0070)"),
        ({"SoftwareVersions": "born 17.09.1933"}, "(0010,0030)", "(0018,1020)"),
        ({"SoftwareVersions": CANARY.study_instance_uid}, "(0020,000D)", "(0018,1020)"),
        (
            {"StationName": "ward 17b", "SoftwareVersions": "at ward 17b"},
            "(0008,1010)",
            "(0018,1020)",
        ),
    ],
)
def test_a_removed_value_that_survives_is_a_defect_that_names_both_tags(
    attributes: dict[str, str], came_from: str, survived_in: str
) -> None:
    with pytest.raises(Defect) as caught:
        _clean(**attributes)
    assert caught.value.code == "residual-identifier"
    assert came_from in caught.value.sentence
    assert survived_in in caught.value.sentence
    assert not any(str(value) in str(caught.value) for value in attributes.values())


@pytest.mark.parametrize(
    "attributes",
    [
        {
            "PatientName": "Head^Phantom",
            "Manufacturer": "Phantom Works",
            "BodyPartExamined": "HEAD",
        },
        {"SeriesDescription": "BRAIN", "BodyPartExamined": "BRAIN"},
        {"StationName": "Phantom 1"},
        {"PatientName": "Li^Bo", "SoftwareVersions": "Libo 2"},
        {"PatientID": "123", "AcquisitionNumber": 123},
        {"PatientName": "Anna^B", "SoftwareVersions": "Savanna 1"},
        {"PatientName": "Removed^Removed"},
        {"PatientID": "26", "AccessionNumber": "2"},
    ],
)
def test_what_is_no_identity_raises_no_alarm(attributes: dict[str, object]) -> None:
    assert len(_clean(**attributes).instances) == 1


@pytest.mark.parametrize("codec", ["utf-8", "latin-1", "utf-16-le", "utf-16-be", "iso2022_jp"])
def test_a_value_is_found_in_every_encoding(codec: str) -> None:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    name = "山田太郎" if codec == "iso2022_jp" else "Gøtzche"
    ds.add_new(0x00282000, "OB", b"profile " + name.encode(codec).ljust(40))
    character_set = b"\\ISO 2022 IR 87" if codec == "iso2022_jp" else b"ISO_IR 100"
    encoded = name.encode("iso2022_jp" if codec == "iso2022_jp" else "latin-1")
    removed = Removed(0x00100010, "PN", encoded, character_set)
    with pytest.raises(Defect) as caught:
        ResidueCheck().search(file_bytes(ds), [removed], "CE-X")
    assert "(0028,2000)" in caught.value.sentence


def test_pixels_that_spell_a_name_raise_no_alarm() -> None:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    ds.PixelData = b"Kanariefugl ".ljust(48)
    assert len(deidentify(series_of([ds]), BASIC, PSEUDONYM).instances) == 1


def test_an_output_of_ours_has_nothing_left_to_find() -> None:
    series = make_series(canary_stack())
    clean = deidentify(series, BASIC, PSEUDONYM)
    removed = [Removed(0x00100010, "PN", CANARY.name.encode(), b"ISO_IR 192")]
    for instance in clean.instances:
        ResidueCheck().search(instance.content, removed, clean.subject_id)


def test_a_name_nested_in_a_kept_sequence_is_found_with_its_tag() -> None:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    item = Dataset()
    item.Manufacturer = "Zzyzx"
    ds.RealWorldValueMappingSequence = [item]
    with pytest.raises(Defect) as caught:
        deidentify(series_of([ds]), BASIC, PSEUDONYM)
    assert "(0008,0070)" in caught.value.sentence
