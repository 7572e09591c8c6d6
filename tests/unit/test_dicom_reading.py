from __future__ import annotations

import logging
import warnings

import pytest
from factories import Stack, file_bytes, make_datasets, make_series, ramp

from clic_edge.dicom.attributes import Attributes
from clic_edge.dicom.reading import place, read_header, read_instance
from clic_edge.dicom.summary import summarise
from clic_edge.dicom.uids import derive_uid
from clic_edge.errors import Defect

CONTENT = make_series().instances[0].content


def test_a_header_ends_before_the_pixels_and_an_instance_does_not() -> None:
    assert "PixelData" not in read_header(CONTENT)
    assert len(read_instance(CONTENT).PixelData) == 2 * 10 * 12


def test_a_bare_dataset_is_read_without_preamble_and_meta() -> None:
    ds = make_datasets(Stack(), ramp())[0]
    meta_length = 12 + int(read_instance(CONTENT).file_meta.FileMetaInformationGroupLength)
    bare = CONTENT[132 + meta_length :]
    assert read_header(bare).SOPInstanceUID == ds.SOPInstanceUID


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" * 99, b"\x00" * 4096, CONTENT[:132]])
def test_what_is_not_dicom_is_a_defect_named_by_position(content: bytes) -> None:
    with pytest.raises(Defect, match=r"^instance 12 of 40 ") as caught:
        read_header(content, place(11, 40))
    assert caught.value.code == "unreadable-instance"


def test_warnings_and_log_records_of_pydicom_stay_inside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ds = make_datasets(Stack(), ramp())[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.SliceThickness = "4.5"
        ds.PatientID = "KANARIE" * 20
        ds.SpecificCharacterSet = "ISO_IR KANARIE"
        content = file_bytes(ds)
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        attributes = Attributes(dataset=read_header(content), where="the instance")
        assert attributes.text("PatientID").startswith("KANARIE")
        assert attributes.number("SliceThickness") == 4.5
    assert "KANARIE" not in caplog.text


def test_an_unusable_attribute_is_named_by_keyword_and_tag_without_its_value() -> None:
    ds = make_datasets(Stack(), ramp())[0]
    content = file_bytes(ds).replace(b"DS\x04\x001.0 ", b"DS\x04\x00KANA", 1)
    attributes = Attributes(dataset=read_header(content), where="instance 1 of 1")
    with pytest.raises(Defect) as caught:
        attributes.number("SliceThickness")
    assert caught.value.code == "invalid-attribute"
    assert caught.value.sentence == "instance 1 of 1: SliceThickness (0018,0050) cannot be used"


def test_a_summary_is_what_routing_asks_for() -> None:
    summary = summarise(read_header(CONTENT), series_id="s1", instance_ids=("b", "a"))
    assert (summary.series_id, summary.instance_ids) == ("s1", ("a", "b"))
    assert (summary.modality, summary.body_part, summary.series_number) == ("MR", "BRAIN", 1)
    assert summary.description == "T1 hippocampus"
    assert summary.image_type == ("ORIGINAL", "PRIMARY", "OTHER")
    assert (summary.manufacturer, summary.slice_thickness_mm) == ("Phantom Works", 1.0)


def test_a_derived_uid_is_valid_and_follows_from_its_parts() -> None:
    uid = derive_uid("case", "model", "SEG")
    assert uid == derive_uid("case", "model", "SEG")
    assert uid.startswith("2.25.")
    assert len(uid) <= 64
    assert uid.rsplit(".", 1)[1] == str(int(uid.rsplit(".", 1)[1]))


def test_derived_uids_do_not_depend_on_where_parts_are_cut() -> None:
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("c", "ab"), ()]
    assert len({derive_uid(*one) for one in parts}) == len(parts)
