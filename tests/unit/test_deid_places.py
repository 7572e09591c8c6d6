"""What the stage keeps, drops and puts in the place of a patient who can be searched for."""

from __future__ import annotations

import io

import pydicom
import pytest
from factories import CANARY, canary_stack, file_bytes, make_datasets, make_series, ramp, series_of
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from clic_edge.deid import BASIC, DeidKey, Profile, deidentify, part10
from clic_edge.domain.study import Instance, Series

KEY = DeidKey(b"one key of thirty-two bytes, yes")
PLANT = "Qwxzyfugl"
UID = "1.2.826.0.1.3680043.10.1561.55555555.9"


def _series(content: bytes) -> Series:
    return Series(
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        patient_id=CANARY.patient_id,
        issuer_of_patient_id="",
        instances=(Instance(content=content),),
    )


def _clean(content: bytes, profile: Profile = BASIC) -> bytes:
    series = _series(content)
    return deidentify(series, profile, KEY.pseudonym("x", "")).instances[0].content


def _nest(inner: Dataset, depth: int) -> Dataset:
    for _ in range(depth):
        outer = Dataset()
        outer.add_new(0x00081115, "SQ", Sequence([inner]))
        inner = outer
    return inner


def _item(tag: int, vr: str, value: object) -> Dataset:
    item = Dataset()
    item.add_new(tag, vr, value)
    return item


def _add_nested(ds: Dataset, inner: Dataset) -> None:
    ds.update(_nest(inner, 3))


def test_nothing_of_the_canary_patient_is_left() -> None:
    series = make_series(canary_stack())
    clean = deidentify(series, BASIC, KEY.pseudonym(CANARY.patient_id, ""))
    secrets = ["Kanariefugl", "Gulnæb", "Zzyzx", CANARY.patient_id, CANARY.birth_date]
    secrets += [CANARY.accession_number, "77777777"]
    for instance in clean.instances:
        for secret in secrets:
            for codec in ("utf-8", "latin-1", "utf-16-le"):
                assert secret.encode(codec).lower() not in instance.content.lower()


@pytest.mark.parametrize(
    "trailing", [bytes(2_000), b"\0\0\0", b"Kanariefugl" * 9, b"\xfc\xff\xfc\xff"]
)
def test_what_follows_the_pixels_is_gone(trailing: bytes) -> None:
    content = make_series(canary_stack()).instances[0].content
    assert _clean(content + trailing) == _clean(content)


def test_what_lies_in_the_pixel_data_behind_the_last_pixel_is_gone() -> None:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    pixels = ds.PixelData
    ds.PixelData = pixels + f"{PLANT}^".encode()
    cleaned = pydicom.dcmread(io.BytesIO(_clean(file_bytes(ds))))
    assert cleaned.PixelData == pixels


@pytest.mark.parametrize(
    ("character_set", "name", "secrets"),
    [
        ("ISO_IR 100", "Bøgh^Åse Æbelø", ["Bøgh", "Åse", "Æbelø"]),
        ("ISO_IR 192", "Bøgh^Åse Æbelø", ["Bøgh", "Åse", "Æbelø"]),
        ("GB18030", "Wang^XiaoDong=王^小东", ["王^小东", "XiaoDong"]),
        ("GBK", "Wang^XiaoDong=王^小东", ["王^小东", "XiaoDong"]),
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            ["山田", "太郎", "たろう", "Yamada"],
        ),
        ("ISO_IR 144", "Люкceмбypг", ["Люкceмбypг"]),
        ("ISO_IR 126", "Διονυσιος", ["Διονυσιος"]),
    ],
)
def test_names_in_other_scripts_are_gone_in_every_encoding(
    character_set: str | list[str], name: str, secrets: list[str]
) -> None:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    ds.SpecificCharacterSet = character_set
    ds.PatientName = name
    ds.OperatorsName = name
    output = _clean(file_bytes(ds))
    for secret in secrets:
        for codec in (
            "utf-8",
            "latin-1",
            "iso2022_jp",
            "gb18030",
            "iso8859_5",
            "iso8859_7",
            "utf-16-le",
        ):
            encoded = secret.encode(codec, "ignore")
            assert len(encoded) < 4 or encoded not in output


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_the_transfer_syntax_stays_and_the_canary_goes(syntax: str) -> None:
    ds = make_datasets(canary_stack(), ramp((1, 4, 6)))[0]
    _add_nested(ds, _item(0x00100010, "PN", CANARY.name))
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = ramp((1, 4, 6)).astype(">i2").tobytes()
        ds["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    cleaned = pydicom.dcmread(io.BytesIO(_clean(buffer.getvalue())))
    assert cleaned.file_meta.TransferSyntaxUID == syntax
    assert (cleaned.pixel_array == ramp((1, 4, 6))[0]).all()
    assert "Kanarie" not in str(cleaned)


def test_same_in_same_out_and_another_key_makes_nothing_equal() -> None:
    series = make_series(canary_stack())
    mine = deidentify(series, BASIC, KEY.pseudonym(CANARY.patient_id, ""))
    again = deidentify(series, BASIC, KEY.pseudonym(CANARY.patient_id, ""))
    other_key = DeidKey(b"another key of thirty-two bytes.")
    other = deidentify(series, BASIC, other_key.pseudonym(CANARY.patient_id, ""))
    assert mine == again
    one, two = (pydicom.dcmread(io.BytesIO(c.instances[0].content)) for c in (mine, other))
    for keyword in ("PatientID", "SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert one[keyword].value != two[keyword].value


def test_a_clean_series_keeps_order_and_says_what_was_done() -> None:
    series = series_of(make_datasets(canary_stack(), ramp())[::-1])
    clean = deidentify(series, BASIC, KEY.pseudonym(CANARY.patient_id, ""))
    numbers = []
    for instance in clean.instances:
        ds = pydicom.dcmread(io.BytesIO(instance.content))
        numbers.append(ds.InstanceNumber)
        assert ds.SeriesInstanceUID == clean.series_uid
        assert ds.PatientID == ds.PatientName == clean.subject_id
        assert ds.PatientIdentityRemoved == "YES"
        assert ds.LongitudinalTemporalInformationModified == "REMOVED"
        codes = [code.CodeValue for code in ds.DeidentificationMethodCodeSequence]
        assert codes == ["113100"]
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert ds.preamble == bytes(128)
    assert numbers == list(range(8, 0, -1))


@pytest.mark.parametrize("vr", ["UN", "US", "FL"])
def test_text_in_the_place_of_numbers_is_gone(vr: str) -> None:
    content = make_series(canary_stack()).instances[0].content
    source = part10.read(content)
    writer = part10.Writer(source.encoding)
    tags = {"UN": 0x00280009, "US": 0x00280014 + 0xFEC, "FL": 0x00700022}  # of 1-n values
    chunks = {e.tag: writer.element(e.tag, e.vr, bytes(e.value)) for e in source.elements}
    chunks[tags[vr]] = writer.element(tags[vr], vr, f"{PLANT}...".encode())
    sop = (source.sop_class_uid, source.sop_instance_uid)
    ordered = [chunks[tag] for tag in sorted(chunks)]
    planted = part10.file_bytes(sop, source.transfer_syntax_uid, ordered)
    assert PLANT.encode() in planted
    assert PLANT.encode() not in _clean(planted)
